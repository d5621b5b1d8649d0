"""Leases: the only place where a call waits for the record before it is made, and then with all others that wait.

Whoever needs money that this replica does not hold asks the teller; what is asked while it is at the record is answered
together in the next transaction.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from structlog.stdlib import BoundLogger

from synthbench.chassis.outbox import Outbox
from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.events import BudgetExhausted
from synthbench.llm_gateway.adapters.replica import Incarnation, Replica
from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.llm_gateway.domain.accounts import SHARED, Account, ends_at, kind_of
from synthbench.llm_gateway.domain.slices import Standing, grant
from synthbench.storage.database import Connection, Database


class Buried(Exception):
    """This replica was taken for dead; it has a new name by now."""


@dataclass
class _Wish:
    account: Account
    claims: AttemptClaims
    needs: list[int] = field(default_factory=list[int])
    last: list[int] = field(default_factory=list[int])
    """Of them, those after which no other model comes."""


class Teller:
    """Answers wishes for leases, as many as there are in one transaction."""

    def __init__(self, database: Database, outbox: Outbox, replica: Replica, log: BoundLogger) -> None:
        self._database = database
        self._outbox = outbox
        self._replica = replica
        self._log = log
        self._wishes: dict[str, _Wish] = {}
        self._answer: asyncio.Future[Mapping[str, Standing]] | None = None
        self._serving: asyncio.Task[None] | None = None

    async def lease(
        self, claims: AttemptClaims, accounts: list[Account], need: int, *, last: bool
    ) -> Mapping[str, Standing]:
        """Ask for money on some accounts; whatever was granted lies in the purse now.

        Returns:
            How these accounts (and others that were asked about) stood before.
        """
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        for account in accounts:
            wish = self._wishes.setdefault(account.scope, _Wish(account, claims))
            wish.needs.append(need)
            wish.last += [need] if last else []
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await asyncio.shield(self._answer)

    async def _serve(self) -> None:
        while self._answer is not None:
            answer, wishes = self._answer, self._wishes
            self._answer, self._wishes = None, {}
            try:
                standings = await self._grant(wishes)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                answer.set_exception(error)
                answer.exception()  # they may all be gone
            else:
                answer.set_result(standings)

    async def _grant(self, wishes: dict[str, _Wish]) -> Mapping[str, Standing]:
        mine = self._replica.now
        try:
            async with self._database.connection() as connection:
                standings, granted = await self._transaction(connection, mine, wishes)
        except Buried:
            await self._replica.reborn(mine)
            return {}
        for scope, amount in granted.items():
            mine.purse.add(scope, amount)
        mine.purse.uncapped |= {scope for scope, found in standings.items() if found.cap is None}
        return standings

    async def _transaction(
        self, connection: Connection, mine: Incarnation, wishes: dict[str, _Wish]
    ) -> tuple[dict[str, Standing], dict[str, int]]:
        scopes = sorted(wishes)
        accounts = [wishes[scope].account for scope in scopes]
        if not await (await connection.execute(SQL["hold_replica"], {"replica": mine.replica})).fetchone():
            raise Buried
        caps, epochs = [account.cap for account in accounts], [account.epoch for account in accounts]
        await connection.execute(SQL["open_accounts"], {"scopes": scopes, "caps": caps, "epochs": epochs})
        rows = await (await connection.execute(SQL["lock_accounts"], {"scopes": scopes})).fetchall()
        standings = {r["scope"]: Standing(r["cap"], r["spent"], r["leased"], r["epoch"]) for r in rows}
        granted = self._grants(mine, standings, wishes)
        if granted:
            values = {"scopes": list(granted), "amounts": list(granted.values()), "replica": mine.replica}
            await connection.execute(SQL["lease"], values)
        for row in rows:
            if not row["said"]:
                await self._maybe_exhausted(connection, wishes[row["scope"]], standings[row["scope"]])
        return standings, granted

    def _grants(self, mine: Incarnation, standings: dict[str, Standing], wishes: dict[str, _Wish]) -> dict[str, int]:
        granted: dict[str, int] = {}
        for scope, standing in standings.items():
            if standing.cap is None:
                continue
            held = mine.purse.slices.get(scope)
            lately, idle = (held.lately, held.idle) if held else (0, 0)
            amount = grant(standing.free, wishes[scope].needs, lately, self._replica.count, idle=idle)
            if amount:
                granted[scope] = amount
        return granted

    async def _maybe_exhausted(self, connection: Connection, wish: _Wish, standing: Standing) -> None:
        """Say that a budget which campaigns share is used up; once a minute, in case it was not heeded."""
        scope = wish.account.scope
        kind = kind_of(scope)
        if kind not in SHARED or standing.cap is None or not wish.last or not standing.used_up(min(wish.last)):
            return
        await connection.execute(SQL["say_exhausted"], {"scope": scope})
        event = BudgetExhausted(
            submission_id=wish.claims.submission_id,
            campaign=wish.claims.campaign,
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
            await connection.execute(SQL["recall"], {"scopes": scopes})
