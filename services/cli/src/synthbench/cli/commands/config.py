"""`config show`: every setting of every service, and where it came from."""

import asyncio
import json
import os
import sys

from cyclopts import App

from synthbench.cli import console
from synthbench.cli.embedded.datadir import default_data_dir
from synthbench.cli.embedded.layout import SERVICES, artifacts_of, executor_folders
from synthbench.cli.errors import CliError
from synthbench.cli.stack import remote_endpoints
from synthbench.contracts.registry import Service

app = App(name="config", help="Settings.")

_SECONDS = 60.0


@app.command
async def show(service: str | None = None, /) -> None:
    """Show settings as services read them from here: environment, *_FILE variables, synth-bench.toml, defaults.

    Folders are shown as the embedded stack sets them, unless the environment names another stack.

    Args:
        service: Only of this one.
    """
    wanted = [one for one in SERVICES if service in (None, str(one), str(one).replace("_", "-"))]
    if not wanted:
        raise CliError(f"there is no service {service!r}; there are {', '.join(map(str, SERVICES))}")
    read = await asyncio.gather(*map(_settings, wanted), return_exceptions=True)  # all end, so that no process is left
    rows: list[list[str]] = []
    for found in read:
        if isinstance(found, BaseException):
            raise found
        rows += found
    console.table(["service", "setting", "value", "from"], rows)
    console.say("the embedded stack sets addresses, users and passwords by itself")


async def _settings(service: Service) -> list[list[str]]:
    data = default_data_dir()
    folders = {} if remote_endpoints() else executor_folders(data) | {"SYNTHBENCH_ARTIFACTS_URL": artifacts_of(data)}
    ours = {name: value for name, value in folders.items() if name not in os.environ or name.endswith("_URL")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"synthbench.{service}", "--settings",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **ours},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
    if process.returncode != 0:
        raise CliError(f"{service}: {err.decode(errors='replace').strip()}")
    rows = [[str(service), row["name"], row["value"], row["source"]] for row in json.loads(out)]
    for row in rows:
        if f"SYNTHBENCH_{row[1].upper()}" in ours:
            row[3] = f"embedded stack in {data}"
    return rows
