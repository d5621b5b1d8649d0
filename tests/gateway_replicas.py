"""Several gateways as they run in production: a process each, on one Postgres, one NATS and one upstream."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from synthbench.chassis.bus import Bus
from synthbench.contracts.events import AttemptClosed
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.storage.database import Database

MESSAGES = [{"role": "user", "content": "Does it rain in Paris? " * 200}]
"""Long enough that what the upstream bills is never more than what is set aside."""
COST = 1900
"""Millionths of a dollar that the upstream bills for an answer at the prices of `two_wires`: 800 tokens of input for 1,
200 cached ones for 0.5 and 100 of output for 10 dollars a million."""


@dataclass
class ReplicaProcess:
    """One gateway."""

    process: Process
    url: str
    log: Path

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 20)
            except TimeoutError:
                self.send(signal.SIGKILL)
                await self.process.wait()


async def start_replica(
    folder: Path, number: int, environment: dict[str, str], python: Path | None = None
) -> ReplicaProcess:
    """Start one, by this interpreter or another one, and return at once; `until_ready` waits."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / f"gateway-{number}.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            python or sys.executable, "-m", "synthbench.llm_gateway",
            env=kept | environment | {"SYNTHBENCH_HTTP_PORT": str(port)}, stdout=out, stderr=out, cwd=folder,
        )  # fmt: skip
    return ReplicaProcess(process, f"http://127.0.0.1:{port}", log)


async def until_ready(replica: ReplicaProcess, client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            assert replica.process.returncode is None, replica.log.read_text()
            try:
                if (await client.get(f"{replica.url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


@dataclass
class Group:
    """The replicas, and the ledger behind them."""

    replicas: list[ReplicaProcess]
    database: Database
    client: httpx.AsyncClient
    bus: Bus
    key: Callable[..., str]
    """Sign an attempt's key: a route, and claims by name."""

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()  # pyright: ignore[reportArgumentType] - our own text

    async def account(self, scope: str) -> dict[str, int]:
        """What is spent, leased and presumed of one budget; all 0 before its first call."""
        found = await self.rows(
            "select a.spent_microusd as spent, a.leased_microusd as leased, coalesce(sum(p.microusd), 0)::bigint as "
            "presumed from accounts a left join presumed p using (scope) where scope = %s group by a.scope",
            scope,
        )
        return found[0] if found else {"spent": 0, "leased": 0, "presumed": 0}

    async def called(self) -> dict[str, int]:
        """How many calls are written down, and what they cost."""
        (row,) = await self.rows(
            "select count(*)::int as calls, coalesce(sum(cost_microusd), 0)::int as cost from calls"
        )
        return row

    async def ask(self, number: int, key: str, **more: Any) -> tuple[int, str]:
        """Make a call through one replica; return its status, and the code of its error."""
        replica = self.replicas[number % len(self.replicas)]
        body = {"model": "chat/small", "messages": MESSAGES, "max_tokens": 100, **more}
        response = await self.client.post(
            f"{replica.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
        )
        return response.status_code, "" if response.is_success else json.loads(response.text)["error"]["code"]

    async def close_attempt(self, rollout_id: UUID, attempt: int) -> None:
        """Say what the scheduler says."""
        submission_id = uuid4()
        rollout = Rollout(
            rollout_id=rollout_id, submission_id=submission_id, campaign="c", scaffold="native", pool="bubblewrap",
            task=TaskInfo(name="t", digest="sha256:" + "0" * 64), route="chat/small",
        )  # fmt: skip
        closed = AttemptClosed(
            submission_id=submission_id, campaign="c", rollout_id=rollout_id, attempt=attempt, rollout=rollout,
            outcome=Outcome.SOLVED, counted=True, last=True,
        )  # fmt: skip
        await self.bus.publish(closed)
