"""Starting processes again that ended: at once at first, later and later where one does not stay up."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nats.errors import Error as NatsError
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import ChassisError
from synthbench.client.errors import CliError
from synthbench.embedded.children import ChildProcess
from synthbench.embedded.log_files import tail
from synthbench.storage.errors import DatabaseUnavailable, MigrationError

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_STEADY_SECONDS = 60.0
"""A process that has lived for so long has its earlier exits forgotten."""
BAD_SETTINGS = 2
"""Exit code of a service that cannot work with its settings: no restart mends that."""
_EXITS_OF_A_PROBLEM = 3
"""Number of exits from which on a process counts as one that does not stay up."""
_START_FAILURES = (CliError, ChassisError, DatabaseUnavailable, MigrationError, NatsError, OSError, TimeoutError)

Start = Callable[[], Awaitable[object]]


@dataclass
class ExitHistory:
    """How often a process ended since it last stayed up, and when it may be started again.

    Attributes:
        count: number of exits and of failed starts.
        code: exit code of the last exit; None where the process could not even be started.
        last_words: last line of its log, or the error of the failed start.
        again_at: moment (`time.monotonic`) of the next start.
        started_at: moment of the last start.
        counted_process: the process whose exit is counted already.
    """

    count: int = 0
    code: int | None = None
    last_words: str = ""
    again_at: float = 0.0
    started_at: float = 0.0
    counted_process: object = None

    def add(self, code: int | None, last_words: str, now: float) -> None:
        """Count one exit or failed start; the pause doubles, and is the longest at once for wrong settings."""
        pause = _FIRST_PAUSE_SECONDS * 2**self.count if code != BAD_SETTINGS else _LONGEST_PAUSE_SECONDS
        self.again_at = now + min(pause, _LONGEST_PAUSE_SECONDS)
        self.count, self.code, self.last_words = self.count + 1, code, last_words

    def describe(self) -> str:
        """Return the history in one line, for people."""
        how = "cannot be started" if self.code is None else f"ended {self.count} times, last with code {self.code}"
        return f"{how}: {self.last_words or 'it left no line in its log'}"

    @property
    def is_problem(self) -> bool:
        """Whether the process counts as one that does not stay up."""
        return self.count >= _EXITS_OF_A_PROBLEM or self.code == BAD_SETTINGS


@dataclass
class Restarts:
    """Starts the processes of one stack again.

    Args:
        log: of the supervisor.
        log_of: returns the log file of a process.
    """

    log: BoundLogger
    log_of: Callable[[str], Path]
    exits: dict[str, ExitHistory] = field(default_factory=dict[str, ExitHistory])
    """Histories by the name of the process; a process that stays up has none."""

    async def restart_if_ended(self, name: str, process: ChildProcess | None, start: Start) -> bool:
        """Start a process again if it has ended and its pause is over; return whether its history changed."""
        if process is None:
            return False
        now = time.monotonic()
        history = self.exits.get(name)
        if process.returncode is None:
            if history is not None and now - history.started_at > _STEADY_SECONDS:
                del self.exits[name]
                return True
            return False
        history = self.exits.setdefault(name, ExitHistory())
        changed = False
        if history.counted_process is not process:
            history.counted_process = process
            history.add(process.returncode, tail(self.log_of(name), 1), now)
            self.log.error(
                "process ended", name=name, code=process.returncode, deaths=history.count, words=history.last_words
            )
            changed = True
        if now < history.again_at:
            return changed
        try:
            await start()
        except _START_FAILURES as error:
            history.add(None, str(error) or type(error).__name__, time.monotonic())
            self.log.error("process cannot be started", name=name, error=history.last_words)  # noqa: TRY400 - one line
        history.started_at = time.monotonic()
        return True

    def problems(self) -> Mapping[str, str]:
        """Return why processes do not stay up, by name."""
        return {name: one.describe() for name, one in self.exits.items() if one.is_problem}
