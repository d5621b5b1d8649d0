"""Leases of money in the record: one transaction for all calls that wait."""

from collections.abc import Mapping
from dataclasses import replace

from structlog.stdlib import BoundLogger

from synthbench.chassis.outbox import Outbox
from synthbench.contracts.events import BudgetExhausted
from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.llm_gateway.budgets.domain.accounts import SHARED, ends_at, kind_of
from synthbench.llm_gateway.budgets.domain.slices import AccountBalance, grant
from synthbench.llm_gateway.budgets.domain.waiting import LeaseRequest
from synthbench.llm_gateway.budgets.replica import Incarnation, Replica
from synthbench.storage.database import Connection, Database


class ReplicaFenced(Exception):
    """This replica was taken for dead; it has a new name by now."""


class Leases:
    """Leases money of accounts for this replica, and asks the other replicas for what they do not use."""

    def __init__(self, database: Database, outbox: Outbox, replica: Replica, log: BoundLogger) -> None:
        self._database = database
        self._outbox = outbox
        self._replica = replica
        self._log = log

    async def grant(self, requests: Mapping[str, LeaseRequest]) -> Mapping[str, AccountBalance]:
        """Lease what is asked for as far as it is free; whatever was granted lies in this replica's slices now.

        Args:
            requests: by account.

        Returns:
            How these accounts stand after it; none where this replica had to take a new name, with empty hands.
        """
        mine = self._replica.now
        try:
            async with self._database.connection() as connection:
                standings, granted = await self._transaction(connection, mine, requests)
        except ReplicaFenced:
            await self._replica.reborn(mine)
            return {}
        for scope, amount in granted.items():
            mine.budgets.add(scope, amount)
        mine.budgets.uncapped |= {scope for scope, found in standings.items() if found.cap is None}
        return {
            scope: replace(found, leased=found.leased + granted.get(scope, 0)) for scope, found in standings.items()
        }

    async def _transaction(
        self, connection: Connection, mine: Incarnation, requests: Mapping[str, LeaseRequest]
    ) -> tuple[dict[str, AccountBalance], dict[str, int]]:
        scopes = sorted(requests)
        accounts = [requests[scope].account for scope in scopes]
        if not await (await connection.execute(SQL["hold_replica"], {"replica": mine.replica})).fetchone():
            raise ReplicaFenced
        caps, epochs = [account.cap for account in accounts], [account.epoch for account in accounts]
        await connection.execute(SQL["open_accounts"], {"scopes": scopes, "caps": caps, "epochs": epochs})
        rows = await (await connection.execute(SQL["lock_accounts"], {"scopes": scopes})).fetchall()
        standings = {r["scope"]: AccountBalance(r["cap"], r["spent"], r["leased"], r["epoch"]) for r in rows}
        granted = self._grants(mine, standings, requests)
        if granted:
            values = {"scopes": list(granted), "amounts": list(granted.values()), "replica": mine.replica}
            await connection.execute(SQL["lease"], values)
        for row in rows:
            if not row["said"]:
                await self._maybe_exhausted(connection, requests[row["scope"]], standings[row["scope"]])
        return standings, granted

    def _grants(
        self, mine: Incarnation, standings: dict[str, AccountBalance], requests: Mapping[str, LeaseRequest]
    ) -> dict[str, int]:
        granted: dict[str, int] = {}
        for scope, standing in standings.items():
            if standing.cap is None:
                continue
            held = mine.budgets.slices.get(scope)
            lately, idle = (held.lately, held.idle) if held else (0, 0)
            amount = grant(standing.free, requests[scope].needs, lately, self._replica.count, idle=idle)
            if amount:
                granted[scope] = amount
        return granted

    async def _maybe_exhausted(self, connection: Connection, request: LeaseRequest, standing: AccountBalance) -> None:
        """Say that a budget which campaigns share is used up; once a minute, in case it was not heeded."""
        scope = request.account.scope
        kind = kind_of(scope)
        if kind not in SHARED or standing.cap is None or not request.last or not standing.used_up(min(request.last)):
            return
        await connection.execute(SQL["say_exhausted"], {"scope": scope})
        event = BudgetExhausted(
            submission_id=request.claims.submission_id,
            campaign=request.claims.campaign,
            budget=kind,  # pyright: ignore[reportArgumentType] - one of SHARED
            scope=scope,
            epoch=standing.epoch,
            limit_microusd=standing.cap,
            spent_microusd=standing.spent,
            until=ends_at(scope),
        )
        await self._outbox.add(connection, event)
        self._log.warning("budget used up", scope=scope, cap_microusd=standing.cap, spent_microusd=standing.spent)

    async def recall(self, scopes: list[str]) -> None:
        """Ask the other replicas for what lies idle with them."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["recall"], {"scopes": scopes, "replica": self._replica.now.replica})
