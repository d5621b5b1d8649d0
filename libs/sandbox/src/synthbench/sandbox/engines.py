"""Finding engines by name: entry points `synthbench.sandboxes`, each a class that takes `root`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType

from synthbench.sandbox.errors import EngineUnavailable, SandboxError
from synthbench.sandbox.host.folders import make_root
from synthbench.sandbox.protocol import Isolation, SandboxEngine

GROUP = "synthbench.sandboxes"
PREFERRED = ("docker", "bubblewrap", "process")
"""The order in which an engine is chosen where none is named."""


@dataclass(frozen=True)
class EngineChoice:
    """An engine that works here, and why the ones before it do not."""

    engine: SandboxEngine
    isolation: Isolation
    refused: Mapping[str, str] = field(default_factory=dict[str, str])


def known_engines() -> Sequence[str]:
    """Names of the engines that are installed, preferred first."""
    found = {entry.name for entry in entry_points(group=GROUP)}
    return [name for name in PREFERRED if name in found] + sorted(found - set(PREFERRED))


def load_engine(name: str, *, root: Path, **options: object) -> SandboxEngine:
    """Return an engine.

    Args:
        name: as in the entry points.
        root: where sandboxes keep their files; each engine has a folder there.
        options: of this engine, e.g. Docker's `image`, `runtime` and `builds`.

    Raises:
        SandboxError: no such engine, with the names of those there are; or the folder cannot be used.
    """
    make_root(root)
    for entry in entry_points(group=GROUP, name=name):
        engine: SandboxEngine = entry.load()(root=root / name, **options)
        return engine
    raise SandboxError(f"there is no sandbox engine {name!r}", f"take one of {', '.join(known_engines())}")


async def choose_engine(
    preferred: str | None, *, root: Path, options: Mapping[str, Mapping[str, object]] = MappingProxyType({})
) -> EngineChoice:
    """Return the engine that was asked for, or the first one that works.

    Args:
        preferred: its name; None for any.
        root: as in `load_engine`.
        options: of each engine, by its name.

    Raises:
        EngineUnavailable: it does not work, or none does; with every reason.
        SandboxError: no such engine.
    """
    refused: dict[str, str] = {}
    for name in [preferred] if preferred else known_engines():
        engine = load_engine(name, root=root, **options.get(name, {}))
        try:
            return EngineChoice(engine, await engine.probe(), refused)
        except EngineUnavailable as error:
            refused[name] = str(error)
            await engine.aclose()
    raise EngineUnavailable("; ".join(f"{name}: {reason}" for name, reason in refused.items()))
