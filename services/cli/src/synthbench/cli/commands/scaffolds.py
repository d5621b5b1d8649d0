"""`scaffolds install`: the environment of an external agent, made once on each machine that runs executors."""

import os
import subprocess
import sys
from pathlib import Path

from cyclopts import App

from synthbench.client.errors import CliError
from synthbench.embedded.datadir import DataDir

app = App(name="scaffolds", help="Agents from elsewhere.")


@app.command
def install(name: str, /, *, folder: Path | None = None, checkout: Path | None = None) -> int:
    """Install what an external agent needs, pinned; sandboxes see it read-only.

    Args:
        name: Of the agent, such as openhands; an unknown one is answered with those that can be installed.
        folder: By default SYNTHBENCH_AGENTS_ROOT, else `agents` in the data folder.
        checkout: Of swe-agent's repository, which is on no package index.
    """
    named = os.environ.get("SYNTHBENCH_AGENTS_ROOT")
    root = folder or (Path(named) if named else DataDir().sub("agents"))
    done = subprocess.run(  # noqa: S603 - our own module
        [
            sys.executable,
            "-m",
            "synthbench.executor.agents",
            name,
            str(root.absolute()),
            *([str(checkout)] if checkout else []),
        ],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise CliError(lines[-1] if lines else f"{name} could not be installed", exit_code=done.returncode)
    return 0
