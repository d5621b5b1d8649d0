"""Honest attempts beside one hostile sandbox of each kind: are all of them graded, and how much slower are they?

Twenty honest attempts run alone first, four at a time; then the same twenty beside each kind of attack in turn, and
beside all kinds at once. An attempt's time is from its claim to its end, as the scheduler has it. A hostile attempt
that ends is followed by the next one of its kind, for as long as the honest ones run.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from synthbench.sandbox.docker.api import DockerApi
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.tree.removal import remove_tree

from .hostile_agents import ATTACKS, script
from .report import QUICK, Report
from .stack import TASK, Stack, running, turns, upstream

HONEST = 2 if QUICK else 20
AT_ONCE = 2 if QUICK else 4
KINDS = ["requests without a pause"] if QUICK else list(ATTACKS)
_SECONDS = 2 if QUICK else 25
"""How long one hostile attempt attacks."""
_LONGEST = 600.0


def main() -> None:
    report = Report("hostile")
    folder = Path(tempfile.mkdtemp(prefix="synthbench-hostile-"))
    folder.chmod(0o711)
    try:
        with upstream(folder, "model", turns()) as url:
            for engine in _engines(report):
                with running(folder / engine, engine, AT_ONCE + len(KINDS), url) as stack:
                    asyncio.run(_measure(report, stack, engine))
    finally:
        remove_tree(folder)  # shutil's own recurses into what an attack left
    report.finish(["synth-bench-executor", "synth-bench-sandbox", "synth-bench-scheduler"])


def _engines(report: Report) -> list[str]:
    if named := os.environ.get("ENGINE"):
        return [named]
    if QUICK:
        return ["bubblewrap"]
    try:
        DockerApi().close()
    except EngineUnavailable as error:
        report.facts["docker"] = f"not measured: {error}"
        return ["bubblewrap"]
    return ["bubblewrap", "docker"]


async def _measure(report: Report, stack: Stack, engine: str) -> None:
    processes = dict(stack.status["processes"])
    await _honest(stack, 2)  # whatever is made at the first use is made
    alone = await _honest(stack, HONEST)
    _keep(report, f"{engine}, alone", alone)
    rounds: dict[str, list[str]] = {kind: [kind] for kind in KINDS}
    if len(KINDS) > 1:
        rounds["all kinds at once"] = KINDS
    for name, kinds in rounds.items():
        beside = await _beside(stack, kinds)
        _keep(report, f"{engine}, {name}", beside)
        label = f"{engine}_{name.replace(' ', '_').replace(',', '')}"
        report.target(f"{label}_ungraded", sum(not one.graded for one in beside), "<= 0")
        report.target(f"{label}_slowest_over_slowest", _slowest(beside) / _slowest(alone), "<= 2")
    now = json.loads((stack.folder / "run/status.json").read_text())["processes"]
    report.target(f"{engine}_services_restarted", sum(now.get(name) != pid for name, pid in processes.items()), "<= 0")


@dataclass(frozen=True)
class Honest:
    """What became of one honest rollout: graded with full reward in its first attempt, and the seconds it took."""

    graded: bool
    seconds: float


def _keep(report: Report, case: str, rollouts: Sequence[Honest]) -> None:
    for one in rollouts:
        report.add(case, one.seconds * 1000)


def _slowest(rollouts: Sequence[Honest]) -> float:
    return max(one.seconds for one in rollouts)


async def _beside(stack: Stack, kinds: Sequence[str]) -> list[Honest]:
    """The honest attempts, once an attempt of each of `kinds` has begun."""
    attackers = [asyncio.create_task(_attack_on(stack, kind)) for kind in kinds]
    try:
        since = stack.one("select extract(epoch from now())::float8")
        await _until(
            stack,
            "select count(*) from scheduler.attempts a join scheduler.rollouts r using (rollout_id) "
            f"where r.campaign = 'hostile' and a.started_at >= to_timestamp({since} - 1)",
            len(kinds),
        )
        await asyncio.sleep(2)
        return await _honest(stack, HONEST)
    finally:
        for one in attackers:
            one.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        await _until(
            stack, "select -count(*) from scheduler.submissions where campaign = 'hostile' and state = 'open'", 0
        )


async def _attack_on(stack: Stack, kind: str) -> None:
    """Attack with one attempt after the other until cancelled."""
    while True:
        submission = uuid4()
        arguments = {
            "command": 'exec python3 -c "$AGENT"', "env.AGENT": script(kind), "env.UNTIL": str(_SECONDS),
        }  # fmt: skip
        await stack.publish(
            {"submission_id": str(submission), "task": TASK, "route": "bench-model", "scaffold": "command",
             "scaffold_args": arguments, "campaign": "hostile", "priority": "high", "allow_unknown_price": True}
        )  # fmt: skip
        await _finished(stack, submission)


async def _honest(stack: Stack, count: int) -> list[Honest]:
    """So many attempts, `AT_ONCE` at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one() -> Honest:
        async with free:
            submission = uuid4()
            await stack.publish(
                {"submission_id": str(submission), "task": TASK, "route": "bench-model", "priority": "high",
                 "campaign": "honest", "allow_unknown_price": True}
            )  # fmt: skip
            await _finished(stack, submission)
            return _judged(stack, submission)

    return await asyncio.gather(*(one() for _ in range(count)))


def _judged(stack: Stack, submission: UUID) -> Honest:
    row = stack.connection.execute(
        "select max(a.attempt), bool_or(a.counted and a.outcome = 'solved'),"
        " extract(epoch from max(a.closed_at) - min(a.claimed_at))::float8"
        " from scheduler.attempts a join scheduler.rollouts r using (rollout_id) where r.submission_id = %s",
        (submission,),
    ).fetchone()
    assert row is not None
    last, solved, seconds = row
    return Honest(graded=last == 1 and bool(solved), seconds=seconds or _LONGEST)


async def _finished(stack: Stack, submission: UUID) -> None:
    await _until(
        stack, f"select count(*) from scheduler.submissions where submission_id = '{submission}' and state <> 'open'", 1
    )


async def _until(stack: Stack, query: str, wanted: int) -> None:
    deadline = time.monotonic() + _LONGEST
    while stack.one(query) < wanted:
        assert time.monotonic() < deadline, f"not within {_LONGEST:.0f} s: {query}"
        await asyncio.sleep(0.1)
