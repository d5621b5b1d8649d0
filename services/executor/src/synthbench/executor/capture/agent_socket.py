"""The one way out of a sandbox with an agent inside: a Unix socket to this process."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from socket import AF_UNIX, socket
from typing import Any

from synthbench.executor.scaffold import InsideScaffold, Scaffold
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

SOCKET = "models"
"""Name of the socket in a spec."""

Reach = AbstractContextManager[tuple[SandboxSpec, socket | None]]


async def reachable(engine: SandboxEngine, spec: SandboxSpec, scaffold: Scaffold, settings: ExecutorSettings) -> Reach:
    """Give a spec what an agent inside needs: the socket, and the folders that its scaffold mounts.

    Returns:
        A context with the spec, and with the socket, bound already because commands run only where it is there; None
        where the agent works from outside.

    Raises:
        InfraFailure: what the scaffold mounts is not there.
    """
    if not isinstance(scaffold, InsideScaffold):
        return nullcontext((spec, None))
    isolated = (await engine.probe()).isolated
    mounts = {**spec.mounts, **(scaffold.mounts(settings) if isolated else {})}
    return _placed(engine, spec.model_copy(update={"mounts": mounts}))


@contextmanager
def _placed(engine: SandboxEngine, spec: SandboxSpec) -> Generator[tuple[SandboxSpec, socket]]:
    with engine.socket_place() as path, socket(AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        given: dict[str, Any] = {**dict(spec), "sockets": {**spec.sockets, SOCKET: path}}
        yield SandboxSpec(**given), listener
