"""`sandboxes list|shell|reap`: what runs on this machine, and what was left."""

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.client.errors import CliError
from synthbench.embedded.datadir import DataDir
from synthbench.sandbox.engines import known_engines, load_engine
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.reaping import ENGINE_FILE, is_alive

app = App(name="sandboxes", help="Sandboxes of this machine.")


@dataclass(frozen=True)
class ListedSandbox:
    """One sandbox of this machine, as `sandboxes list` shows it."""

    id: str
    engine: str
    owner: str
    state: str
    seconds: int


def sandbox_root() -> Path:
    """Return the folder of sandboxes: the one that executors are told, else that of the embedded stack."""
    named = os.environ.get("SYNTHBENCH_SANDBOX_ROOT")
    return Path(named) if named else DataDir().sub("sandboxes")


def _listed(root: Path) -> Sequence[ListedSandbox]:
    found: list[ListedSandbox] = []
    for folder in sorted(root.glob("*/[!.]*")):
        try:
            owner = (folder / "owner").read_text()
            alive = is_alive(folder.parent / (folder / ENGINE_FILE).read_text())
            age = time.time() - folder.lstat().st_ctime
        except OSError:
            continue  # being made or removed
        found.append(
            ListedSandbox(folder.name, folder.parent.name, owner, "live" if alive else "left behind", int(age))
        )
    return found


@app.command(name="list")
def list_sandboxes(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the sandboxes of this machine: whose they are, and whether their executor lives.

    Args:
        json: Print them as JSON.
    """
    found = _listed(sandbox_root())
    if json:
        console.show_json([asdict(one) for one in found])
        return
    rows = [[one.id, one.engine, one.owner, one.state, str(one.seconds)] for one in found]
    console.table(["id", "engine", "owner", "state", "seconds"], rows)


@app.command
def shell(name: str, /) -> int:
    """Open a shell beside a sandbox's commands: in its container, or for other engines in its workspace's folder.

    Args:
        name: Id, from `sandboxes list`.
    """
    found = [one for one in _listed(sandbox_root()) if one.id == name]
    if not found:
        raise CliError(f"there is no sandbox {name!r}; see `synth-bench sandboxes list`")
    folder = sandbox_root() / found[0].engine / name
    if found[0].engine != "docker":
        console.say(f"a shell of this host, as you, in the files of {name}; the sandbox's walls are not around it")
        return subprocess.run([os.environ.get("SHELL", "/bin/sh")], cwd=folder / "workspace", check=False).returncode  # noqa: S603 - the person's own shell
    numbers = sorted(int(path.name.removeprefix("channel-")) for path in folder.glob("channel-*"))
    if not numbers:
        raise CliError(f"the container of {name} is not running")
    inside = ["docker", "exec", "-it", f"synthbench-{name}-{numbers[-1]}", "/bin/sh"]
    try:
        return subprocess.run(inside, check=False).returncode  # noqa: S603 - an id that was listed
    except FileNotFoundError as error:
        raise CliError("the program docker is missing; it opens the shell") from error


@app.command
async def reap() -> None:
    """Take away what killed executors of this machine left, as executors do by themselves; nothing that lives."""
    for name in known_engines():
        if not (sandbox_root() / name).is_dir():
            continue
        engine = load_engine(name, root=sandbox_root())
        try:
            for owner in await asyncio.wait_for(engine.reap(), 120):
                console.say(f"took away a sandbox of {owner}")
        except (SandboxError, TimeoutError) as error:
            console.fail(f"{name}: {error or 'no answer within 120 s'}")
        finally:
            await engine.aclose()
