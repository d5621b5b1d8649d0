"""`config show`: every setting of every service, and where it came from."""

import asyncio
import json
import os
import sys

from cyclopts import App

from synthbench.cli import console
from synthbench.cli.embedded.layout import SERVICES
from synthbench.cli.errors import CliError
from synthbench.contracts.registry import Service

app = App(name="config", help="Settings.")

_SECONDS = 30.0


@app.command
async def show(service: str | None = None, /) -> None:
    """Show settings as services read them from here: environment, *_FILE variables, synth-bench.toml, defaults.

    Args:
        service: Only of this one.
    """
    wanted = [one for one in SERVICES if service in (None, str(one), str(one).replace("_", "-"))]
    if not wanted:
        raise CliError(f"there is no service {service!r}; there are {', '.join(map(str, SERVICES))}")
    rows = [row for found in await asyncio.gather(*map(_settings, wanted)) for row in found]
    console.table(["service", "setting", "value", "from"], rows)
    console.say("the embedded stack sets addresses, users and passwords by itself")


async def _settings(service: Service) -> list[list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"synthbench.{service}", "--settings",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
    if process.returncode != 0:
        raise CliError(f"{service}: {err.decode(errors='replace').strip()}")
    return [[str(service), row["name"], row["value"], row["source"]] for row in json.loads(out)]
