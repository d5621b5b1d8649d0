"""The state of a stack as `run/status.json` of its data folder says it: the supervisor writes it, commands read it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthbench.contracts.loose import as_object
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.stack_options import StackOptions, started_with

if TYPE_CHECKING:  # it knows every event, which commands that look at a stack do without
    from synthbench.embedded.layout import Layout

_FILE = "status.json"


def stack_status(data: DataDir) -> dict[str, Any] | None:
    """Return what `StatusFile.write` wrote of the running stack; None where none runs.

    A running supervisor holds the lock. Its process id would prove nothing: after a crash it may be somebody else's.
    """
    try:
        status: dict[str, Any] = json.loads((data.sub("run") / _FILE).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return status if data.is_locked("stack") else None


def first_problem(status: Mapping[str, Any]) -> str:
    """Return the first problem of a stack in one line; empty where it has none."""
    return next((f"{name} {problem}" for name, problem in as_object(status.get("problems")).items()), "")


def failure_of(data: DataDir) -> str | None:
    """Return why the last stack of a data folder ended, if it failed."""
    path = data.failure_file
    return path.read_text() if path.exists() else None


@dataclass
class StatusFile:
    """Writes the state of one stack for `status`, `logs`, `down` and commands that attach.

    Args:
        data: the data folder.
        options: with which the stack was started.
    """

    data: DataDir
    options: StackOptions
    state: str = "starting"
    """`starting`, `up` or `draining`; written as `degraded` where a stack that is up has problems."""
    unfinished: str = ""
    """The work that the stack still has, in words; empty where there is none, or nobody has asked yet."""

    def write(
        self,
        layout: "Layout",
        *,
        processes: Mapping[str, int],
        problems: Mapping[str, str],
        postgres_port: int,
        stay: bool,
    ) -> None:
        """Replace the file.

        Args:
            layout: addresses and sandbox engines of the stack.
            processes: process ids by name.
            problems: why processes do not stay up or are not ready, by name.
            postgres_port: TCP port on the loopback interface.
            stay: whether the stack goes on when no command uses it.

        Raises:
            OSError: the disk is full; the previous file stays.
        """
        content = {
            "state": "degraded" if problems and self.state == "up" else self.state,
            "problems": dict(problems),
            "supervisor": os.getpid(),
            "processes": dict(processes),
            "urls": {str(one): layout.url(one.service, one.number) for one in layout.ports},
            "postgres_port": postgres_port,
            "pools": list(layout.pools),
            "options": started_with(self.options, self.data.secret("fingerprints")),
            "left": self.unfinished,
            "clients": list(layout.clients),
            "stay": stay,
        }
        self.data.write_json(_FILE, content)

    def remove(self) -> None:
        """Remove the file: no stack runs any more, or the one that wrote it was killed."""
        (self.data.sub("run") / _FILE).unlink(missing_ok=True)
