"""What the loop of the native scaffold costs a step, with a model and a sandbox that answer at once."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import uuid4

import httpx
import structlog

from synthbench.contracts.events import StepRecorded
from synthbench.contracts.journal import JournalEvent
from synthbench.contracts.records import ArtifactRef, Rollout, RolloutLimits, TaskInfo
from synthbench.contracts.scope import AttemptScope
from synthbench.executor.adapters.model import GatewayModel
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.endings import Submitted
from synthbench.executor.recorder import StepRecorder
from synthbench.executor.scaffold import World
from synthbench.executor.scaffolds.native import NativeScaffold
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.diff import Diff, Snapshot
from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.result import RunResult
from synthbench.tasks.library import load_library_task

from .report import QUICK, Report

STEPS = 20 if QUICK else 50
ROUNDS = 2 if QUICK else 20
OUTPUT = b"a line of output as a test run prints it\n" * 50
NOTHING = Diff(changes=(), archive=b"", patch="", digest="", refused=())


class InstantSandbox:
    """Answers every command with the same two kilobytes, and changes nothing."""

    workdir = "/workspace"

    def __init__(self) -> None:
        self.commands = 0

    async def run(self, argv: Sequence[str], **_: object) -> RunResult:
        self.commands += 1
        return RunResult(0, OUTPUT, b"", len(OUTPUT), 0, timed_out=False, seconds=0.0, cwd=self.workdir)

    async def step(self, since: Snapshot) -> tuple[Diff, Snapshot]:
        return NOTHING, since


class InstantAnnouncer:
    """Takes steps and keeps their time."""

    def __init__(self, scope: AttemptScope) -> None:
        self.scope = scope
        self.at: list[float] = []

    async def keep(self, data: bytes, media_type: str = "application/x-tar") -> ArtifactRef:
        raise AssertionError(f"nothing changes, and yet there are {len(data)} bytes of {media_type} to keep")

    async def announce(self, event: JournalEvent) -> None:
        assert isinstance(event, StepRecorded)
        self.at.append(time.perf_counter())


def script() -> Callable[[httpx.Request], httpx.Response]:
    """A model that runs one command after the other, then submits."""
    turn = iter(range(STEPS))

    def answer(_: httpx.Request) -> httpx.Response:
        number = next(turn)
        name, arguments = ("bash", {"command": f"echo {number}"}) if number < STEPS - 1 else ("submit", {})
        call = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        message: dict[str, Any] = {"role": "assistant", "content": "Next.", "tool_calls": [call]}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        return httpx.Response(200, json={"model": "m", "choices": [{"message": message}], "usage": usage})

    return answer


async def attempt() -> list[float]:
    """Seconds of each step of one attempt but the first, which has the templates to read."""
    package = load_library_task("simple-task-001")
    rollout = Rollout(
        rollout_id=uuid4(), submission_id=uuid4(), campaign="bench", scaffold="native", route="m", pool="process",
        task=TaskInfo(name=package.id, digest="sha256:" + "0" * 64), limits=RolloutLimits(max_steps=STEPS),
    )  # fmt: skip
    clock = Clock(rollout.limits)
    announcer = InstantAnnouncer(AttemptScope(rollout.submission_id, "bench", rollout.rollout_id, 1))
    sandbox = cast("Sandbox", InstantSandbox())
    recorder = StepRecorder(announcer, sandbox, cast("Snapshot", None), clock, checkpoints=True)
    async with httpx.AsyncClient(transport=httpx.MockTransport(script())) as client:
        model = GatewayModel(client, "http://gateway", None, "m")
        log = structlog.stdlib.get_logger()
        world = World(rollout, package, sandbox, model, recorder, clock, ExecutorSettings(), log)
        try:
            await NativeScaffold().run(world)
        except Submitted:
            assert len(announcer.at) == STEPS
        else:
            raise AssertionError("it ended without a submission")
    return [after - before for before, after in zip(announcer.at, announcer.at[1:], strict=False)]


def main() -> None:
    logging.disable(logging.INFO)
    report = Report("native")
    for _ in range(ROUNDS):
        for seconds in asyncio.run(attempt()):
            report.add("one step without model and sandbox", seconds * 1000)
    report.facts["steps an attempt"] = STEPS
    report.facts["bytes an observation"] = len(OUTPUT)
    report.target("milliseconds_p50", report.p50("one step without model and sandbox"), "<= 2")
    report.finish(["synth-bench-executor"])
