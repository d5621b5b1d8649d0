"""The Scaffold protocol: an agent that drives an attempt, found by the entry point `synthbench.scaffolds`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from socket import socket as Socket  # noqa: N812 - the field has its name
from typing import Protocol, runtime_checkable

from structlog.stdlib import BoundLogger

from synthbench.contracts.records import Rollout
from synthbench.contracts.rpc import ScaffoldOffer
from synthbench.executor.adapters.model import GatewayModel
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.endings import PermanentFailure
from synthbench.executor.domain.resuming import StartingPoint
from synthbench.executor.recorder import StepRecorder
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.inside import Mount
from synthbench.sandbox.protocol import Sandbox
from synthbench.tasks import TaskPackage

GROUP = "synthbench.scaffolds"


@dataclass(frozen=True)
class World:
    """Everything that a scaffold may use in one attempt."""

    rollout: Rollout
    package: TaskPackage
    sandbox: Sandbox
    model: GatewayModel
    recorder: StepRecorder
    clock: Clock
    settings: ExecutorSettings
    log: BoundLogger
    start: StartingPoint = field(default_factory=StartingPoint)
    """The steps that were done before; only for a scaffold that is `resumable`. The sandbox is as they left it."""
    socket: Socket | None = None
    """The listening socket for an agent inside the sandbox; only for an `InsideScaffold`."""


@dataclass(frozen=True)
class Briefing:
    """The prompts and tools that the record shows of a scaffold before its first step."""

    system_prompt: str = ""
    tools: str = "[]"
    """JSON list as text, OpenAI's function format."""
    prompt_version: str = ""


class Scaffold(Protocol):
    """An agent, or something that plays one."""

    version: str
    resumable: bool
    """Whether it can go on from `World.start`, because all that it knows is in the steps."""

    def briefing(self, world: World) -> Briefing:
        """Return the prompts and tools for the record."""
        ...

    async def run(self, world: World) -> None:
        """Work until an `Ending` is raised. Every step goes through `world.recorder` before the next one starts."""
        ...


@runtime_checkable
class InsideScaffold(Scaffold, Protocol):
    """A scaffold whose agent runs inside the sandbox, with the help of `synthbench.executor.capture`."""

    def mounts(self, settings: ExecutorSettings) -> Mapping[str, Mount]:
        """Folders of this machine that the agent needs inside; an engine that isolates nothing shows them anyway.

        Raises:
            PermanentFailure: they are not there.
        """
        ...


def offered_scaffolds(log: BoundLogger) -> list[ScaffoldOffer]:
    """Return every scaffold that is installed here; one that cannot be loaded is logged and left out."""
    offers: list[ScaffoldOffer] = []
    for name in sorted({entry.name for entry in entry_points(group=GROUP)}):
        try:
            offers.append(ScaffoldOffer(name=name, resumable=load_scaffold(name).resumable))
        except Exception:  # whatever is wrong with somebody else's package
            log.exception("scaffold cannot be loaded", scaffold=name)
    return offers


@cache
def load_scaffold(name: str) -> Scaffold:
    """Return a scaffold by name; the same one each time, as it keeps nothing of an attempt.

    Raises:
        PermanentFailure: this executor has none of this name.
    """
    for entry in entry_points(group=GROUP, name=name):
        scaffold: Scaffold = entry.load()()
        return scaffold
    raise PermanentFailure(f"this executor has no scaffold {name!r}", "submission")
