"""The command `synth-bench`."""

import asyncio
import inspect
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from cyclopts import App

from synthbench.chassis.errors import ChassisError, one_line
from synthbench.cli import output
from synthbench.client.errors import CliError
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound

_INTERRUPTED = 130
_PIPE_CLOSED = 141
"""Exit code by which shells name the end of a process by SIGPIPE."""
_PATH_CHARACTERS = 300

app = App(
    name="synth-bench",
    help="Training data for LLM agents: tasks become verified, scored, deduplicated trajectories.",
    version="0.1.0",
    version_format="plaintext",
    console=output.ReportingConsole(),
    error_console=output.ReportingConsole(stderr=True),
)
# Named, not imported: each command pays only for what it uses.
_COMMANDS = {
    "demo": ("demo:demo", "Show the main job on this machine: no key, no Docker."),
    "generate-trajectory": ("generate:generate_trajectory", "Run an agent on one task, and show what was recorded."),
    "run": ("generate:run", "Run a campaign: tasks x models x samples, as a file says."),
    "up": ("up:up", "Start the stack and leave it running."),
    "down": ("stack:down", "Stop the stack when its work is done."),
    "status": ("stack:status", "Show the stack's processes and submissions."),
    "env": ("stack:env", "Print the running stack's addresses as shell variables."),
    "logs": ("logs:logs", "Show log lines of all processes in one view."),
    "tasks": ("tasks:app", "The task library, and packages of your own."),
    "models": ("models:app", "Models: list, add, test, remove; without a restart."),
    "campaigns": ("campaigns:app", "Campaigns: their budgets, and what they made."),
    "compare": ("compare:compare", "Run several scaffolds on the same tasks, and say how they did."),
    "stats": ("stats:stats", "How models, scaffolds and tasks did, and what an accepted trajectory costs."),
    "cost": ("cost:cost", "What model calls cost, added up."),
    "trajectories": ("trajectories:app", "What was recorded."),
    "artifacts": ("artifacts:app", "The artifact store: is everything there, and unaltered?"),
    "scaffolds": ("scaffolds:app", "Agents from elsewhere: install what they need."),
    "sandboxes": ("sandboxes:app", "Sandboxes of this machine: list, look into, clean up."),
    "images": ("images:app", "Images that Docker built for tasks: list, clean up."),
    "dead": ("dead:app", "Messages that no consumer could handle."),
    "audit": ("audit:audit", "Check every invariant of bus, database, artifacts and this machine."),
    "tokens": ("tokens:app", "API tokens with roles: viewer, reviewer, operator, admin."),
    "storage": ("storage:storage", "Where room went, and what the next sweep would take."),
    "backup": ("backup:backup", "Put database and artifacts into one file."),
    "restore": ("backup:restore", "Take them out of it again, into an empty stack."),
    "rebuild": ("rebuild:rebuild", "Make a lost bus or a lost catalogue again."),
    "config": ("config:app", "Every setting, and where it came from."),
    "doctor": ("doctor:doctor", "Try everything out, and say how to mend it."),
}
for name, (place, summary) in _COMMANDS.items():
    app.command(f"synthbench.cli.commands.{place}", name=name, help=summary)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; whatever goes wrong is one line and an exit code."""
    try:
        command, bound, _ = app.parse_args(arguments)
        result = _run(command, bound)
        output.write("")  # what lies in the buffer must meet its reader here, not at the interpreter's end
    except (CliError, ChassisError, ArtifactNotFound, ArtifactCorrupt) as error:
        output.fail(str(error))
        sys.exit(getattr(error, "exit_code", 1))
    except OSError as error:  # a path that cannot be: too long, a loop of links, not ours to look into
        output.fail(f"{_cut(error.filename)}{error.strerror or one_line(error)}")
        sys.exit(1)
    except KeyboardInterrupt:
        output.say("cancelled")
        sys.exit(_INTERRUPTED)
    except output.ReaderGone:
        output.discard(sys.stdout)
        sys.exit(_PIPE_CLOSED)
    sys.exit(result if isinstance(result, int) else 0)


def _cut(path: object) -> str:
    """Return a path for the beginning of a line; a long one without its middle, none as nothing."""
    text = "" if path is None else f"{path}: "
    return text if len(text) <= _PATH_CHARACTERS else f"{text[:80]}…{text[-80:]}"


def _run(command: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
    result = command(*bound.args, **bound.kwargs)
    return asyncio.run(_interruptible(result)) if inspect.iscoroutine(result) else result


async def _interruptible(work: Coroutine[Any, Any, Any]) -> Any:
    """SIGTERM cancels as Ctrl-C does, so that what was submitted is cancelled, too."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


if __name__ == "__main__":
    main()
