"""The ledger: who may still spend, and what was spent. A call is admitted before and settled after."""

from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.chassis.outbox import Outbox
from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.events import LlmCalled
from synthbench.llm_gateway.domain.money import Reservation
from synthbench.llm_gateway.domain.refusal import Refusal
from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.llm_gateway.adapters")


class PostgresLedger:
    """Schema `ledger`."""

    def __init__(self, database: Database, outbox: Outbox, *, reservation_seconds: float) -> None:
        self._database = database
        self._outbox = outbox
        self._seconds = reservation_seconds

    async def admit(self, claims: AttemptClaims, call_id: UUID, estimate_microusd: int) -> Reservation:
        """See `Ledger`."""
        async with self._database.transaction() as connection:
            scope = {"rollout_id": claims.rollout_id, "attempt": claims.attempt}
            row = await (await connection.execute(SQL["see_attempt"], scope)).fetchone()
            assert row is not None
            if row["closed"] and row["attempt"] == claims.attempt:
                raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} is closed")
            if row["attempt"] > claims.attempt:
                raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} was followed by {row['attempt']}")
            if estimate_microusd:
                await self._reserve(connection, claims, call_id, estimate_microusd)
        return Reservation(call_id, claims, estimate_microusd)

    async def _reserve(self, connection: Connection, claims: AttemptClaims, call_id: UUID, cost: int) -> None:
        submission, attempt = scopes(claims)
        for scope in sorted((submission, attempt)):
            await connection.execute(SQL["open_spend"], {"scope": scope})
        rows = await (await connection.execute(SQL["lock_spend"], {"scopes": [submission, attempt]})).fetchall()
        spent = {row["scope"]: row["cost_microusd"] for row in rows}
        names = {"submission": submission, "attempt": attempt}
        reserved = await (await connection.execute(SQL["reserved"], names)).fetchone()
        assert reserved is not None
        for what, scope, cap in (
            ("attempt", attempt, claims.max_cost_microusd),
            ("submission", submission, claims.submission_cost_microusd),
        ):
            if spent[scope] + reserved[what] + cost > cap:
                raise Refusal(
                    402,
                    "cost_limit",
                    f"the {what}'s cap is {cap / 1e6:.4f} USD; {spent[scope] / 1e6:.4f} are spent, "
                    f"{reserved[what] / 1e6:.4f} reserved, and this call could cost {cost / 1e6:.4f}",
                )
        values = {**names, "call_id": call_id, "cost": cost, "seconds": self._seconds}
        await connection.execute(SQL["reserve"], values)

    async def release(self, reservation: Reservation) -> None:
        """See `Ledger`."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["release"], {"call_id": reservation.call_id})

    async def settle(self, reservation: Reservation, called: LlmCalled) -> None:
        """See `Ledger`."""
        claims, event = reservation.claims, called
        row = {
            **event.model_dump(include={"call_id", "submission_id", "campaign", "rollout_id", "attempt", "route"}),
            **event.model_dump(include={"provider", "model", "outcome", "status", "started_at"}),
            "usage": Jsonb(event.usage.to_dict()),
            "cost_microusd": event.usage.cost_microusd,
            "cost_known": event.usage.cost_known,
            "latency": event.latency_seconds,
        }
        async with self._database.transaction() as connection:
            await connection.execute(SQL["release"], {"call_id": event.call_id})
            if event.usage.cost_microusd:
                for scope in sorted(scopes(claims)):
                    await connection.execute(SQL["add_spend"], {"scope": scope, "cost": event.usage.cost_microusd})
            await connection.execute(SQL["insert_call"], row)
            await self._outbox.add(connection, event, id=event.call_id)

    async def close(self, rollout_id: UUID, attempt: int) -> None:
        """The scheduler closed the attempt: its key is worth nothing from now on."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["close_attempt"], {"rollout_id": rollout_id, "attempt": attempt})


def scopes(claims: AttemptClaims) -> tuple[str, str]:
    """Names of the two accounts that a call is charged to."""
    return str(claims.submission_id), f"{claims.rollout_id}/{claims.attempt}"
