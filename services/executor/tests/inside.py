"""An attempt of a scaffold whose agent runs inside a real sandbox, with a scripted gateway."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthbench.contracts.records import KeptFile
from synthbench.contracts.steps import Step
from synthbench.executor.capture.agent_socket import reachable
from synthbench.executor.domain.endings import Ending
from synthbench.executor.domain.resuming import StartingPoint
from synthbench.executor.scaffold import World, load_scaffold
from synthbench.executor.workspace.preparing import PreparedWorkspace
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec

if TYPE_CHECKING:
    from .conftest import MakeWorld

from .conftest import Heard, steps_of

ENGINES = [pytest.param("docker", marks=pytest.mark.docker), "bubblewrap", "process"]


@dataclass
class Played:
    """What an attempt came to."""

    world: World
    ending: BaseException
    kept: dict[str, str]

    @property
    def steps(self) -> list[Step]:
        return steps_of(self.world)


class Player:
    """Plays scaffolds with one engine."""

    def __init__(self, engine: str, root: Path, make_world: "MakeWorld", settings: dict[str, Any]) -> None:
        self.engine = load_engine(engine, root=root)
        self._make = make_world
        self._settings = settings

    async def __call__(
        self, scaffold: str, arguments: dict[str, str], *, spec: dict[str, Any] | None = None, **limits: Any
    ) -> Played:
        played = load_scaffold(scaffold)
        world = self._make(settings=self._settings, **limits)
        wanted = SandboxSpec(owner="test", limits=SandboxLimits(memory_mb=4096), **(spec or {}))
        with await reachable(self.engine, wanted, played, world.settings) as (given, socket):
            sandbox = await self.engine.create(given)
            try:
                baseline = await sandbox.snapshot()
                prepared = PreparedWorkspace(sandbox, StartingPoint(), baseline, baseline)
                world = self._make(prepared=prepared, settings=self._settings, **limits)
                rollout = world.rollout.model_copy(update={"scaffold": scaffold, "scaffold_args": arguments})
                world = replace(world, rollout=rollout, socket=socket)
                try:
                    await played.run(world)
                except Exception as ending:  # noqa: BLE001 - the test looks at it
                    return Played(world, ending, await _texts(world))
            finally:
                await sandbox.close()
        raise AssertionError("it returned without an ending")


async def _texts(world: World) -> dict[str, str]:
    announcer = world.recorder._announcer
    assert isinstance(announcer, Heard)

    async def text(kept: KeptFile) -> str:
        assert kept.artifact is not None
        return (await announcer.store.get(kept.artifact.uri)).decode()

    return {kept.path: await text(kept) for kept in world.recorder.kept}


@asynccontextmanager
async def player_of(engine: str, make_world: "MakeWorld", **settings: Any) -> AsyncGenerator[Player]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        player = Player(engine, Path(folder, "boxes"), make_world, settings)
        try:
            await player.engine.probe()
        except EngineUnavailable as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))
        yield player
        await player.engine.aclose()


def ended(played: Played, kind: type[BaseException]) -> str:
    """Its detail, if it ended like this."""
    assert isinstance(played.ending, kind), (played.ending, played.kept)
    return played.ending.detail if isinstance(played.ending, Ending) else str(played.ending)
