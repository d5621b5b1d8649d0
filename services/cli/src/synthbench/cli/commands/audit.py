"""`audit`: check every invariant from outside."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated

import psycopg
from cyclopts import Parameter
from psycopg.rows import DictRow

from synthbench.cli import console
from synthbench.operations.audit import checks
from synthbench.operations.audit.dead_letters import check_dead_letters
from synthbench.operations.audit.findings import Finding
from synthbench.operations.audit.machine import check_machine
from synthbench.operations.audit.stuck_work import check_stuck_work
from synthbench.operations.audit.trajectories import check_journals, check_trajectories
from synthbench.operations.operator import Operator, as_operator, connected

_SETTLE_POLL = 0.5
_SETTLE_SECONDS = 10.0
"""A broken invariant is checked again for so long: an event of one service may not have reached the others yet."""


async def audit(
    *,
    settled: Annotated[bool, Parameter(negative="")] = False,
    wait: float = 0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Check every invariant of bus, database, artifacts and this machine, without asking the services.

    For the embedded stack it knows the way. Elsewhere it needs the operator's settings: SYNTHBENCH_NATS_URL with the
    user `topology`, SYNTHBENCH_POSTGRES_DSN, SYNTHBENCH_ARTIFACTS_URL.

    Args:
        settled: Nothing may be under way: every submission ended, nothing waits anywhere.
        wait: Seconds to wait until every invariant is held; 10 at least.
        json: Print the findings as JSON.
    """
    deadline = asyncio.get_running_loop().time() + max(wait, _SETTLE_SECONDS)
    async with as_operator(console.say) as operator, connected(operator.dsn) as connection:
        await connection.execute("set default_transaction_read_only = on")
        while True:
            findings = [finding async for finding in _findings(operator, connection, settled=settled)]
            if all(one.held for one in findings) or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_SETTLE_POLL)
        if not all(one.held for one in findings) and not settled:
            on_their_way = await checks.calls_on_their_way(connection, operator.bus.js)
            findings = [checks.unless_settling(finding, on_their_way) for finding in findings]
    broken = [one for one in findings if not one.held]
    if json:
        console.show_json([{**asdict(finding), "held": finding.held} for finding in findings])
    else:
        console.table(["", "invariant", ""], [["held" if f.held else "BROKEN", f.invariant, f.note] for f in findings])
        for one in broken:
            for culprit in one.culprits:
                console.fail(f"{one.invariant}: {culprit}")
    return 1 if broken else 0


async def _findings(
    operator: Operator, connection: psycopg.AsyncConnection[DictRow], *, settled: bool
) -> AsyncGenerator[Finding]:
    parts = [
        checks.check_database(connection, checks.ALWAYS),
        *([checks.check_database(connection, checks.SETTLED)] if settled else []),
        check_trajectories(connection, operator.store),
        check_journals(connection, operator.store),
        checks.check_bus(operator.bus.js, operator.clients, operator.pools, settled=settled),
        check_stuck_work(connection, operator.bus.js, operator.clients, operator.pools),
        check_dead_letters(connection, operator.bus, operator.store),
        check_machine(connection, operator.sandboxes),
    ]
    for part in parts:
        async for finding in part:
            yield finding
    if operator.data is not None:
        values = [path.read_text() for path in operator.data.sub("secrets").iterdir()]
        yield await asyncio.to_thread(checks.check_secrets, operator.data.path, values)
