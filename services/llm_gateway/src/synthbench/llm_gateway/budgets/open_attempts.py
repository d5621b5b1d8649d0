"""Which attempts may still call: the newest of a rollout, while it is open.

What the record says of an attempt is believed for a while, so that its calls need not ask each time. Whoever closes an
attempt, or sees a later one, tells all replicas by `pg_notify`, which takes hundredths of seconds. Where that listener
is cut off, or a notification is lost with it, an old key still works for at most `trust_seconds`.
"""

import time
from collections import OrderedDict
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.storage.database import Database
from synthbench.wire.refusal import Refusal

CHANNEL = "ledger_attempts"
TRUST_SECONDS = 10.0
_REMEMBERED = 20_000


class OpenAttempts:
    """What this replica knows of attempts.

    Args:
        database: of schema `ledger`.
        trust_seconds: how long an answer of the record is believed.
    """

    def __init__(self, database: Database, *, trust_seconds: float = TRUST_SECONDS) -> None:
        self._database = database
        self._trust = trust_seconds
        self._open: OrderedDict[tuple[UUID, int], float] = OrderedDict()
        self._over: OrderedDict[UUID, int] = OrderedDict()

    async def check(self, claims: AttemptClaims) -> None:
        """Return if the attempt is open and the newest.

        Raises:
            Refusal: 403, it is over.
        """
        name = (claims.rollout_id, claims.attempt)
        over = self._over.get(claims.rollout_id, 0)
        if claims.attempt <= over:
            raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} is closed, or a later one was begun")
        if self._open.get(name, 0.0) < time.monotonic():
            await self._ask(claims)
            self.heard(f"{claims.rollout_id} {claims.attempt - 1}")
            if self._over.get(claims.rollout_id, 0) < claims.attempt:  # nobody closed it while we asked
                self._remember(name)

    async def _ask(self, claims: AttemptClaims) -> None:
        scope = {"rollout_id": claims.rollout_id, "attempt": claims.attempt}
        async with self._database.connection() as connection:
            row = await (await connection.execute(SQL["see_attempt"], scope)).fetchone()
        assert row is not None
        if row["closed"] and row["attempt"] == claims.attempt:
            raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} is closed")
        if row["attempt"] > claims.attempt:
            raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} was followed by {row['attempt']}")

    def _remember(self, name: tuple[UUID, int]) -> None:
        self._open[name] = time.monotonic() + self._trust
        self._open.move_to_end(name)
        if len(self._open) > _REMEMBERED:
            self._open.popitem(last=False)

    async def close(self, rollout_id: UUID, attempt: int) -> None:
        """The scheduler closed the attempt: its key is worth nothing from now on, with no replica."""
        self.heard(f"{rollout_id} {attempt}")
        async with self._database.connection() as connection:
            await connection.execute(SQL["close_attempt"], {"rollout_id": rollout_id, "attempt": attempt})

    def heard(self, payload: str) -> None:
        """A replica says that this attempt of a rollout, and all before it, are over."""
        name, _, number = payload.partition(" ")
        rollout_id, attempt = UUID(name), int(number)
        if attempt <= self._over.get(rollout_id, 0):
            return
        self._over[rollout_id] = attempt
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)

    def distrust(self) -> None:
        """Notifications may have been lost: ask the record about everything again."""
        self._open.clear()
