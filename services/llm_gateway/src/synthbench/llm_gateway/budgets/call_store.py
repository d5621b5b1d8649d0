"""The store of calls: every try of a model call, what it cost and its event, in one transaction (schema `ledger`)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from synthbench.chassis.telemetry import current_trace
from synthbench.contracts.cloudevents import Envelope, encode
from synthbench.contracts.events import LlmCalled
from synthbench.llm_gateway.budgets.store import SQL
from synthbench.storage.database import Connection, Database
from synthbench.storage.outbox import Outbox

Charge = tuple[str, UUID]
"""The scope of an account, and the replica whose slice of it pays: `NOBODY` where nothing was set aside."""
NOBODY = UUID(int=0)


@dataclass(frozen=True)
class ChargedCall:
    """A try of a model call, and the accounts that its cost is counted on."""

    envelope: Envelope
    called: LlmCalled
    charges: Sequence[Charge]


class CallStore:
    """All SQL about calls goes through here.

    Args:
        database: of schema `ledger`.
        outbox: publishes `llm.called`.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def charged(self, called: LlmCalled, charges: Sequence[Charge]) -> ChargedCall:
        """Wrap a call for writing; its event belongs to the present trace."""
        return ChargedCall(
            Envelope(called, self._outbox.source, called.call_id, trace=current_trace()), called, charges
        )

    async def write(self, calls: Sequence[ChargedCall], *, doubtful: bool) -> None:
        """Write calls, count their costs, and add their events to the outbox.

        Args:
            calls: any number.
            doubtful: some of them may be written already, by a commit whose answer was lost.
        """
        async with self._database.connection() as connection:
            if doubtful:
                calls = await self._missing(connection, calls)
            if not calls:
                return
            async with connection.pipeline():  # one round trip, the commit included
                if costs := _costs(calls):
                    await connection.execute(SQL["count_spend"], {"costs": orjson.dumps(costs).decode()})
                events = [(call.envelope, encode(call.envelope)) for call in calls]
                await self._outbox.add_many(connection, events)
                rows = b"[" + b",".join(message.payload for _, message in events) + b"]"
                await connection.execute(SQL["write_calls"], {"calls": _without_nul(rows).decode()})
                await connection.commit()

    @staticmethod
    async def _missing(connection: Connection, calls: Sequence[ChargedCall]) -> list[ChargedCall]:
        ids = [call.called.call_id for call in calls]
        rows = await (await connection.execute(SQL["written_already"], {"ids": ids})).fetchall()
        known = {row["call_id"] for row in rows}
        return [call for call in calls if call.called.call_id not in known]


def _costs(calls: Sequence[ChargedCall]) -> list[tuple[str, str, int]]:
    """Sum the costs up by account and replica."""
    costs: defaultdict[Charge, int] = defaultdict(int)
    for call in calls:
        if call.called.usage.cost_microusd:
            for charge in call.charges:
                costs[charge] += call.called.usage.cost_microusd
    return [(scope, str(replica), cost) for (scope, replica), cost in costs.items()]


def _without_nul(text: bytes) -> bytes:
    """Replace NUL, which Postgres' text cannot hold and a provider can put into a model's name."""
    return text.replace(b"\\u0000", b"\\ufffd") if b"\\u0000" in text else text
