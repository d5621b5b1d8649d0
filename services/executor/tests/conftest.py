"""A world for scaffolds: a real sandbox, a scripted gateway, and a list where steps arrive."""

import json
import tempfile
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import structlog
from pydantic import SecretStr

from synthbench.contracts.events import StepRecorded
from synthbench.contracts.journal import JournalEvent, journal_key
from synthbench.contracts.records import ArtifactRef, Rollout, RolloutLimits, TaskInfo
from synthbench.contracts.scope import AttemptScope
from synthbench.contracts.steps import Step
from synthbench.executor.adapters.model import GatewayModel
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.resuming import StartingPoint
from synthbench.executor.recorder import StepRecorder
from synthbench.executor.scaffold import World
from synthbench.executor.settings import ExecutorSettings
from synthbench.executor.workspace.preparing import PreparedWorkspace
from synthbench.sandbox.diff import Snapshot
from synthbench.sandbox.engines import choose_engine
from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.spec import SandboxSpec
from synthbench.storage.artifacts import FilesStore
from synthbench.tasks.library import load_library_task


@dataclass
class Heard:
    """Stands where the `EventAnnouncer` stands: keeps the journal, and has no bus."""

    scope: AttemptScope
    store: FilesStore
    steps: list[Step] = field(default_factory=list)

    async def keep(self, data: bytes, media_type: str = "application/x-tar") -> ArtifactRef:
        return await self.store.put(data, media_type=media_type)

    async def announce(self, event: JournalEvent) -> None:
        assert isinstance(event, StepRecorded)
        await self.store.put_named(journal_key(event), event.to_json())
        self.steps.append(event.step)


@dataclass
class Script:
    """A gateway that answers from a list of messages, responses or what makes them, and keeps what it was asked."""

    answers: list[Any] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content))
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        return httpx.Response(
            200,
            json={"model": "m", "choices": [{"message": answer}], "usage": usage},
            headers={"x-synthbench-cost-microusd": "7"},
        )


def calls(*wanted: tuple[str, Any], content: str = "") -> dict[str, Any]:
    """An assistant message with these tool calls; arguments as an object, or as broken text."""
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {"id": f"c{number}", "type": "function", "function": {
                "name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}}
            for number, (name, arguments) in enumerate(wanted)
        ],
    }  # fmt: skip


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        engine = (await choose_engine(None, root=Path(folder, "boxes"))).engine
        made = await engine.create(SandboxSpec(owner="test"))
        yield made
        await made.close()
        await engine.aclose()


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def artifacts(tmp_path: Path) -> FilesStore:
    return FilesStore(tmp_path / "artifacts")


MakeWorld = Callable[..., World]


def make_world_of(
    sandbox: Sandbox, baseline: Snapshot, client: httpx.AsyncClient, artifacts: FilesStore,
    *, settings: dict[str, Any] | None = None, prepared: PreparedWorkspace | None = None, attempt: int = 1,
    rollout_id: UUID | None = None, args: dict[str, str] | None = None, **limits: Any,
) -> World:  # fmt: skip
    prepared = prepared or PreparedWorkspace(sandbox, StartingPoint(), baseline, baseline)
    package = load_library_task("simple-task-001")
    task = TaskInfo(name=package.id, digest="sha256:" + "0" * 64)
    rollout = Rollout(
        rollout_id=rollout_id or uuid4(), submission_id=uuid4(), campaign="c", task=task, scaffold="native",
        route="m", pool="process", limits=RolloutLimits(**limits), scaffold_args=args or {},
    )  # fmt: skip
    clock = Clock(rollout.limits)
    heard = Heard(AttemptScope(rollout.submission_id, "c", rollout.rollout_id, attempt), artifacts)
    model = GatewayModel(client, "http://gateway", SecretStr("key"), "m", patience=0)
    return World(
        rollout, package, prepared.sandbox, model,
        StepRecorder(heard, prepared.sandbox, prepared.now, clock, checkpoints=True), clock,
        ExecutorSettings(**(settings or {})), structlog.stdlib.get_logger(), prepared.start,
    )  # fmt: skip


async def world_of(sandbox: Sandbox, client: httpx.AsyncClient, artifacts: Path, **limits: Any) -> World:
    """A world without fixtures."""
    return make_world_of(sandbox, await sandbox.snapshot(), client, FilesStore(artifacts), **limits)


@pytest.fixture
async def make_world(sandbox: Sandbox, script: Script, artifacts: FilesStore) -> AsyncGenerator[MakeWorld]:
    baseline = await sandbox.snapshot()
    async with httpx.AsyncClient(transport=httpx.MockTransport(script)) as client:
        yield partial(make_world_of, sandbox, baseline, client, artifacts)


def steps_of(world: World) -> list[Step]:
    """What was announced."""
    announcer = world.recorder._announcer
    assert isinstance(announcer, Heard)
    return announcer.steps
