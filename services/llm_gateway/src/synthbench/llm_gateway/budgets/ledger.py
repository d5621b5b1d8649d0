"""The ledger: it admits tries that their budgets can pay, and counts what they cost (schema `ledger`)."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg import Notify
from structlog.stdlib import BoundLogger

from synthbench.chassis.bus import instance_name
from synthbench.chassis.errors import one_line
from synthbench.chassis.process import Chassis
from synthbench.chassis.settle import is_outage
from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.events import LlmCalled
from synthbench.contracts.registry import Service
from synthbench.llm_gateway.budgets.call_store import NOBODY, CallStore
from synthbench.llm_gateway.budgets.call_writer import CallWriter
from synthbench.llm_gateway.budgets.domain.accounts import Caps, accounts_of
from synthbench.llm_gateway.budgets.lease_broker import LeaseBroker
from synthbench.llm_gateway.budgets.leases import BudgetLeases
from synthbench.llm_gateway.budgets.open_attempts import CHANNEL as ATTEMPTS
from synthbench.llm_gateway.budgets.open_attempts import TRUST_SECONDS, OpenAttempts
from synthbench.llm_gateway.budgets.replica import LEASE_SECONDS, Incarnation, Replica
from synthbench.llm_gateway.budgets.store import BudgetStore
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

RECALL = "ledger_recall"
_LISTEN_PAUSE = 0.5
"""Seconds before a listener that broke off is opened again."""
_ALIVE_SECONDS = 2.0
"""Seconds after which a silent listener is asked whether Postgres is still there."""


@dataclass(frozen=True)
class Reservation:
    """Money that was set aside for one try. Every try has its own, and ends in exactly one `settle` or `release`."""

    call_id: UUID
    claims: AttemptClaims
    microusd: int
    """Millionths of a US dollar, of each account in `scopes`."""
    incarnation: Incarnation
    """Out of whose slices it was taken."""
    scopes: tuple[str, ...]
    """Accounts where money was set aside."""
    charged: tuple[str, ...]
    """Accounts that the cost is counted on."""


class Ledger:
    """Slices of budgets in this process, and calls that are written many at once.

    Args:
        chassis: logs, stops, and runs what goes on beside calls.
        database: of schema `ledger`.
        outbox: for `llm.called` and `budget.exhausted`.
        caps: the deployment's own budgets.
        lease_seconds: silence after which a replica is fenced.
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
        self._caps = caps
        self._log = log
        self._store = store = BudgetStore(database)
        self._replica = Replica(store, instance_name(Service.LLM_GATEWAY), log, lease_seconds=lease_seconds)
        self._attempts = OpenAttempts(store, trust_seconds=trust_seconds)
        self._broker = LeaseBroker(self._replica, BudgetLeases(store, outbox, self._replica, log))
        self._writer = CallWriter(CallStore(database, outbox), log)
        self._recalls: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Join the replicas, and keep up with them."""
        await self._replica.join()
        self._chassis.background("ledger", self._replica.live, every=min(1.0, self._replica.beat_seconds))
        self._chassis.background("ledger notifications", self._listen, every=_LISTEN_PAUSE)

    async def close(self) -> None:
        """Write the calls that are left, and give all money back."""
        await self._writer.drain(5.0)
        await self._replica.leave()

    @property
    def replicas(self) -> int:
        """Number of living gateways, this one included."""
        return self._replica.count

    async def admit(
        self, claims: AttemptClaims, call_id: UUID, estimate_microusd: int, *, last: bool = True
    ) -> Reservation:
        """Check that the attempt is the newest and open, and set aside what the try may cost at most.

        Args:
            claims: of the caller's key.
            call_id: of this try; its `LlmCalled` has the same.
            estimate_microusd: the most that the try may cost; 0 where it is free.
            last: no other model, which may be cheaper, comes after this one: a used-up budget is announced.

        Raises:
            Refusal: 403 `attempt_closed`; 402 `cost_limit` for the attempt's or the submission's cap, 402
                `budget_exhausted` for one that other attempts share.
        """
        await self._attempts.check(claims)
        accounts = accounts_of(claims, self._caps, datetime.now(UTC))
        charged = tuple(account.scope for account in accounts)
        if not estimate_microusd:
            self._replica.current.budgets.on_their_way += 1
            return Reservation(call_id, claims, 0, self._replica.current, (), charged)
        incarnation, scopes = await self._broker.reserve(claims, accounts, estimate_microusd, last=last)
        return Reservation(call_id, claims, estimate_microusd, incarnation, scopes, charged)

    async def release(self, reservation: Reservation) -> None:
        """Give back what was set aside for a try that was never made."""
        reservation.incarnation.budgets.settle(reservation.scopes, reservation.microusd, 0)
        self._broker.money_came_back()

    async def settle(self, reservation: Reservation, called: LlmCalled) -> None:
        """Count what the try cost, whether it succeeded or not, and give the rest back.

        When it returns, the call is written and will be announced, whatever dies next: it is safe to answer.

        Raises:
            NotWritten: Postgres is away for longer than a caller can wait.
        """
        budgets, cost = reservation.incarnation.budgets, called.usage.cost_microusd
        budgets.settle(reservation.scopes, reservation.microusd, cost)
        self._broker.money_came_back()
        replica = reservation.incarnation.replica
        charges = [(scope, replica if scope in reservation.scopes else NOBODY) for scope in reservation.charged]
        await self._writer.write(called, charges, lambda: budgets.written(reservation.scopes, cost))

    async def close_attempt(self, rollout_id: UUID, attempt: int) -> None:
        """Make the key of an attempt worthless, since the scheduler closed it."""
        await self._attempts.close(rollout_id, attempt)

    async def _listen(self) -> None:
        """Follow the notifications of other replicas; after an interruption, trust no cached attempt."""
        try:
            await self._follow_notifications()
        finally:
            self._attempts.distrust()

    async def _follow_notifications(self) -> None:
        async with aclosing(self._store.notifications((ATTEMPTS, RECALL), _ALIVE_SECONDS)) as notices:
            await anext(notices)  # now it listens
            self._attempts.distrust()
            async for notice in notices:
                if notice is not None:
                    self._notified(notice)
                elif self._chassis.stop.is_set():
                    return

    def _notified(self, notice: Notify) -> None:
        if notice.channel == ATTEMPTS:
            self._attempts.notified(notice.payload)
            return
        replica, _, scope = notice.payload.partition(" ")
        if replica == str(self._replica.current.replica):
            return  # what lies idle here is for the calls that wait here
        task = asyncio.create_task(self._recalled(scope))
        self._recalls.add(task)
        task.add_done_callback(self._recalls.discard)

    async def _recalled(self, scope: str) -> None:
        try:
            await self._replica.recalled(scope)
        except Exception as error:
            if not is_outage(error):
                raise
            self._log.warning("could not answer a recall", scope=scope, error=one_line(error))
