"""The ledger: who may still spend, and what was spent (schema `ledger`)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from structlog.stdlib import BoundLogger

from synthbench.chassis.bus import instance_name
from synthbench.chassis.errors import one_line
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.process import Chassis
from synthbench.chassis.settle import is_outage
from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.events import LlmCalled
from synthbench.contracts.registry import Service
from synthbench.llm_gateway.adapters.attempts import CHANNEL as ATTEMPTS
from synthbench.llm_gateway.adapters.attempts import TRUST_SECONDS, OpenAttempts
from synthbench.llm_gateway.adapters.replica import LEASE_SECONDS, Incarnation, Replica
from synthbench.llm_gateway.adapters.settlement import NOBODY, Settlement
from synthbench.llm_gateway.adapters.teller import Teller
from synthbench.llm_gateway.domain.accounts import SHARED, Account, Caps, accounts_of, kind_of
from synthbench.llm_gateway.domain.money import Reservation
from synthbench.llm_gateway.domain.slices import Standing
from synthbench.storage.database import Database
from synthbench.wire.refusal import Refusal

RECALL = "ledger_recall"
_RECALL_SECONDS = 1.0
_FIRST_PAUSE = 0.02
_LISTEN_PAUSE = 0.5
_ALIVE_SECONDS = 2.0


@dataclass(frozen=True)
class Held(Reservation):
    """A reservation, and where it was made."""

    incarnation: Incarnation
    scopes: tuple[str, ...]
    """Accounts where money was set aside."""
    charged: tuple[str, ...]
    """Accounts that the cost is counted on."""


class PostgresLedger:
    """`Ledger` on Postgres: slices of budgets in this process' hand, calls written down many at once.

    Args:
        chassis: logs, stops, and runs what goes on beside calls.
        database: of schema `ledger`.
        outbox: for `llm.called` and `budget.exhausted`.
        caps: the deployment's own budgets.
        lease_seconds: silence after which a replica is taken for dead.
        trust_seconds: how long an attempt is believed to be open without asking.
    """

    def __init__(
        self,
        chassis: Chassis,
        database: Database,
        outbox: Outbox,
        caps: Caps,
        *,
        lease_seconds: float = LEASE_SECONDS,
        trust_seconds: float = TRUST_SECONDS,
    ) -> None:
        log: BoundLogger = chassis.log
        self._chassis = chassis
        self._database = database
        self._caps = caps
        self._log = log
        self._replica = Replica(database, instance_name(Service.LLM_GATEWAY), log, lease_seconds=lease_seconds)
        self._attempts = OpenAttempts(database, trust_seconds=trust_seconds)
        self._teller = Teller(database, outbox, self._replica, log)
        self._settlement = Settlement(database, outbox, log)
        self._recalls: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Join the replicas, and keep up with them."""
        await self._replica.join()
        self._chassis.background("ledger", self._replica.live, every=min(1.0, self._replica.beat_seconds))
        self._chassis.background("ledger notifications", self._listen, every=_LISTEN_PAUSE)

    async def close(self) -> None:
        """Write what is left, and give all money back."""
        await self._settlement.drain(5.0)
        await self._replica.leave()

    @property
    def replicas(self) -> int:
        """How many gateways live, this one included."""
        return self._replica.count

    async def admit(self, claims: AttemptClaims, call_id: UUID, estimate_microusd: int, *, last: bool = True) -> Held:
        """See `Ledger`."""
        await self._attempts.check(claims)
        accounts = accounts_of(claims, self._caps, datetime.now(UTC))
        charged = tuple(account.scope for account in accounts)
        if not estimate_microusd:
            self._replica.now.purse.on_their_way += 1
            return Held(call_id, claims, 0, self._replica.now, (), charged)
        deadline, pause = asyncio.get_running_loop().time() + _RECALL_SECONDS, _FIRST_PAUSE
        while True:
            mine = self._replica.now
            scopes = mine.purse.reserve(accounts, estimate_microusd)
            if scopes is not None:
                return Held(call_id, claims, estimate_microusd, mine, scopes, charged)
            short = mine.purse.short(accounts, estimate_microusd)
            standings = await self._teller.lease(claims, short, estimate_microusd, last=last)
            blocked = self._blocked(mine, short, standings, estimate_microusd)
            if not blocked:
                continue
            # What was leased for this call another one took that came in between; where money is free, ask again.
            stuck = [scope for scope in blocked if standings[scope].free < estimate_microusd]
            if not stuck:
                continue
            if asyncio.get_running_loop().time() > deadline:
                raise _tied_up(stuck[0], standings[stuck[0]], estimate_microusd)
            await self._teller.recall(stuck)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RECALL_SECONDS / 4)

    def _blocked(
        self, mine: Incarnation, short: list[Account], standings: Mapping[str, Standing], need: int
    ) -> list[str]:
        """Return the accounts that are still short of money, if it may come back.

        Raises:
            Refusal: 402, it cannot.
        """
        for account in short:
            standing = standings.get(account.scope)
            if standing is not None and standing.used_up(need):
                raise _used_up(account.scope, standing, need)
        return [
            account.scope
            for account in short
            if (found := standings.get(account.scope)) is not None
            and found.cap is not None
            and mine.purse.idle(account.scope) < need
        ]

    async def release(self, reservation: Reservation) -> None:
        """See `Ledger`."""
        assert isinstance(reservation, Held)
        reservation.incarnation.purse.settle(reservation.scopes, reservation.microusd, 0)

    async def settle(self, reservation: Reservation, called: LlmCalled) -> None:
        """See `Ledger`."""
        assert isinstance(reservation, Held)
        purse, cost = reservation.incarnation.purse, called.usage.cost_microusd
        purse.settle(reservation.scopes, reservation.microusd, cost)
        replica = reservation.incarnation.replica
        charges = [(scope, replica if scope in reservation.scopes else NOBODY) for scope in reservation.charged]
        await self._settlement.write(called, charges, lambda: purse.written(reservation.scopes, cost))

    async def close_attempt(self, rollout_id: UUID, attempt: int) -> None:
        """The scheduler closed the attempt: its key is worth nothing from now on."""
        await self._attempts.close(rollout_id, attempt)

    async def _listen(self) -> None:
        """Hear what other replicas say, and know when that was interrupted."""
        try:
            await self._hear()
        finally:
            self._attempts.distrust()

    async def _hear(self) -> None:
        dsn = self._database.dsn.get_secret_value()
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=5) as listener:
            await listener.execute(f"listen {ATTEMPTS}; listen {RECALL}")
            self._attempts.distrust()
            while not self._chassis.stop.is_set():
                async for notice in listener.notifies(timeout=_ALIVE_SECONDS):
                    self._heard(notice)
                await listener.execute("select 1")  # whether the other end is still there

    def _heard(self, notice: psycopg.Notify) -> None:
        if notice.channel == ATTEMPTS:
            self._attempts.heard(notice.payload)
            return
        task = asyncio.create_task(self._recalled(notice.payload))
        self._recalls.add(task)
        task.add_done_callback(self._recalls.discard)

    async def _recalled(self, scope: str) -> None:
        try:
            await self._replica.recalled(scope)
        except Exception as error:
            if not is_outage(error):
                raise
            self._log.warning("could not answer a recall", scope=scope, error=one_line(error))


def _used_up(scope: str, standing: Standing, need: int) -> Refusal:
    assert standing.cap is not None
    kind, _, name = scope.partition("/")
    what = f"the {kind}'s cap" if kind in ("attempt", "submission") else f"the cap of {kind} {name}"
    code = "budget_exhausted" if kind_of(scope) in SHARED else "cost_limit"
    return Refusal(
        402,
        code,
        f"{what} is {standing.cap / 1e6:.4f} USD; {standing.spent / 1e6:.4f} are spent, "
        f"and this call could cost {need / 1e6:.4f}",
    )


def _tied_up(scope: str, standing: Standing, need: int) -> Refusal:
    kind, _, name = scope.partition("/")
    return Refusal(
        429,
        "budget_tied_up",
        f"what is left of {kind} {name} is set aside for calls on their way ({standing.leased / 1e6:.4f} USD), "
        f"and this one could cost {need / 1e6:.4f}; try again when they have ended",
        retry_after=1.0,
    )
