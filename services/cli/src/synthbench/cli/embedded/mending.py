"""Starting again what died: soon at first, later and later where it does not stay up, and never at the others' cost."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nats.errors import Error as NatsError
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import ChassisError
from synthbench.cli.embedded.children import ChildProcess, tail
from synthbench.cli.errors import CliError
from synthbench.storage.errors import DatabaseUnavailable, MigrationError

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_STEADY_SECONDS = 60.0
"""So long a process has to live until its earlier deaths are forgotten."""
BAD_SETTINGS = 2
"""Exit code of a service that cannot work as it is set: no start by itself mends that."""
STARTING_DEATHS = 3
"""Deaths after which a process counts as one that does not stay up."""
_START_FAILURES = (CliError, ChassisError, DatabaseUnavailable, MigrationError, NatsError, OSError, TimeoutError)

Start = Callable[[], Awaitable[object]]


@dataclass
class Deaths:
    """How often a process ended since it last stayed up, and when it may be started again.

    Attributes:
        count: ends, or failed starts.
        code: of the last end; None where it could not even be started.
        words: its last ones.
        again_at: moment (`time.monotonic`) of the next start.
        started_at: moment of the last start.
    """

    count: int = 0
    code: int | None = None
    words: str = ""
    again_at: float = 0.0
    started_at: float = 0.0
    seen: object = None
    """The process whose end is counted already."""

    def count_one(self, code: int | None, words: str, now: float) -> None:
        """One more; the pause doubles, and is the longest at once where settings are wrong."""
        pause = _FIRST_PAUSE_SECONDS * 2**self.count if code != BAD_SETTINGS else _LONGEST_PAUSE_SECONDS
        self.again_at = now + min(pause, _LONGEST_PAUSE_SECONDS)
        self.count, self.code, self.words = self.count + 1, code, words

    def describe(self) -> str:
        """In one line, for people."""
        how = "cannot be started" if self.code is None else f"ended {self.count} times, last with code {self.code}"
        return f"{how}: {self.words or 'it left no line in its log'}"

    @property
    def stays_down(self) -> bool:
        """Whether it is one that does not stay up."""
        return self.count >= STARTING_DEATHS or self.code == BAD_SETTINGS


@dataclass
class Mending:
    """Starts the processes of one stack again.

    Args:
        log: of the supervisor.
        log_of: names the log file of a process.
    """

    log: BoundLogger
    log_of: Callable[[str], Path]
    deaths: dict[str, Deaths] = field(default_factory=dict[str, Deaths])

    async def revive(self, name: str, process: ChildProcess | None, start: Start) -> bool:
        """Start a process again if it has ended and its time has come; whether anything changed."""
        if process is None:
            return False
        now = time.monotonic()
        known = self.deaths.get(name)
        if process.returncode is None:
            if known is not None and now - known.started_at > _STEADY_SECONDS:
                del self.deaths[name]
                return True
            return False
        known = self.deaths.setdefault(name, Deaths())
        changed = False
        if known.seen is not process:
            known.seen = process
            known.count_one(process.returncode, tail(self.log_of(name), 1), now)
            self.log.error("process ended", name=name, code=process.returncode, deaths=known.count, words=known.words)
            changed = True
        if now < known.again_at:
            return changed
        try:
            await start()
        except _START_FAILURES as error:
            known.count_one(None, str(error) or type(error).__name__, time.monotonic())
            self.log.error("process cannot be started", name=name, error=known.words)  # noqa: TRY400 - one line
        known.started_at = time.monotonic()
        return True

    def problems(self) -> Mapping[str, str]:
        """Why processes do not stay up, by name."""
        return {name: one.describe() for name, one in self.deaths.items() if one.stays_down}
