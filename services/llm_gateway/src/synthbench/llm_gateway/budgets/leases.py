"""Leases of money from the record: one transaction for all calls that wait."""

from collections.abc import Mapping
from dataclasses import replace

from structlog.stdlib import BoundLogger

from synthbench.contracts.events import BudgetExhausted
from synthbench.llm_gateway.budgets.domain.accounts import SHARED, ends_at, kind_of
from synthbench.llm_gateway.budgets.domain.slices import AccountBalance, grant
from synthbench.llm_gateway.budgets.domain.waiting import LeaseRequest
from synthbench.llm_gateway.budgets.replica import Incarnation, Replica
from synthbench.llm_gateway.budgets.store import BudgetStore, BudgetTransaction
from synthbench.storage.outbox import Outbox


class ReplicaFenced(Exception):
    """Another replica fenced this one, since it was silent for too long."""


class BudgetLeases:
    """Leases money of accounts for this replica, and asks the other replicas for money that they do not use.

    Args:
        store: of budgets.
        outbox: for `budget.exhausted`.
        replica: into whose slices the money goes.
        log: says which budget is used up.
    """

    def __init__(self, store: BudgetStore, outbox: Outbox, replica: Replica, log: BoundLogger) -> None:
        self._store = store
        self._outbox = outbox
        self._replica = replica
        self._log = log

    async def grant(self, requests: Mapping[str, LeaseRequest]) -> Mapping[str, AccountBalance]:
        """Lease as much of what is requested as is free, into this replica's slices.

        Args:
            requests: by account.

        Returns:
            The balances of these accounts after it; none where this replica was fenced, and holds nothing now.
        """
        incarnation = self._replica.current
        try:
            async with self._store.transaction() as transaction:
                balances, granted = await self._lease(transaction, incarnation, requests)
        except ReplicaFenced:
            await self._replica.rejoin(incarnation)
            return {}
        for scope, amount in granted.items():
            incarnation.budgets.add(scope, amount)
        incarnation.budgets.uncapped |= {scope for scope, balance in balances.items() if balance.cap is None}
        return {
            scope: replace(balance, leased=balance.leased + granted.get(scope, 0))
            for scope, balance in balances.items()
        }

    async def _lease(
        self, transaction: BudgetTransaction, incarnation: Incarnation, requests: Mapping[str, LeaseRequest]
    ) -> tuple[dict[str, AccountBalance], dict[str, int]]:
        scopes = sorted(requests)
        if not await transaction.hold_replica(incarnation.replica):
            raise ReplicaFenced
        await transaction.open_accounts([requests[scope].account for scope in scopes])
        accounts = await transaction.lock_accounts(scopes)
        balances = {scope: account.balance for scope, account in accounts.items()}
        granted = self._grants(incarnation, balances, requests)
        if granted:
            await transaction.lease(incarnation.replica, granted)
        for scope, account in accounts.items():
            if not account.announced:
                await self._announce_exhausted(transaction, requests[scope], account.balance)
        return balances, granted

    def _grants(
        self, incarnation: Incarnation, balances: Mapping[str, AccountBalance], requests: Mapping[str, LeaseRequest]
    ) -> dict[str, int]:
        granted: dict[str, int] = {}
        for scope, balance in balances.items():
            if balance.cap is None:
                continue
            held = incarnation.budgets.slices.get(scope)
            lately, idle = (held.lately, held.idle) if held else (0, 0)
            amount = grant(balance.free, requests[scope].needs, lately, self._replica.count, idle=idle)
            if amount:
                granted[scope] = amount
        return granted

    async def _announce_exhausted(
        self, transaction: BudgetTransaction, request: LeaseRequest, balance: AccountBalance
    ) -> None:
        """Announce that a budget which campaigns share is used up; once a minute, in case it was not heeded."""
        scope = request.account.scope
        kind = kind_of(scope)
        if kind not in SHARED or balance.cap is None or not request.last or not balance.used_up(min(request.last)):
            return
        await transaction.mark_announced(scope)
        event = BudgetExhausted(
            **request.claims.attempt_scope.submission_fields,
            budget=kind,  # pyright: ignore[reportArgumentType] - one of SHARED
            scope=scope,
            epoch=balance.epoch,
            limit_microusd=balance.cap,
            spent_microusd=balance.spent,
            until=ends_at(scope),
        )
        await self._outbox.add(transaction.connection, event)
        self._log.warning("budget used up", scope=scope, cap_microusd=balance.cap, spent_microusd=balance.spent)

    async def recall(self, scopes: list[str]) -> None:
        """Ask the other replicas for the idle money that they hold of some accounts."""
        await self._store.recall(self._replica.current.replica, scopes)
