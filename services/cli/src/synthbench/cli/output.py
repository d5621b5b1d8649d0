"""Standard output and standard error of a command, and what happens when their reader is gone."""

import errno
import os
import select
import sys
from typing import TextIO

from rich.console import Console
from rich.markup import escape as escape_markup

_GONE = (errno.EPIPE, errno.EIO)
"""A pipe without a reader; a terminal that was closed."""
_PIPED_WIDTH = 160


_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """Text of others without what steers a terminal: escape sequences, carriage returns, bells."""
    return text.replace("\r\n", "\n").translate(_CONTROL)


def escape(text: str) -> str:
    """Text of others as rich's markup shows it: word for word, and nothing of it steers the terminal."""
    return escape_markup(printable(text))


class ReaderGone(Exception):
    """Nobody reads standard output any more: `… | head` has what it wanted, or the terminal was closed."""


class ReportingConsole(Console):
    """A rich console that raises `ReaderGone` where rich itself would end the process in the middle of its work."""

    def on_broken_pipe(self) -> None:
        """Called by rich for EPIPE.

        Raises:
            ReaderGone: always.
        """
        del self._buffer[:]
        raise ReaderGone

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self.on_broken_pipe()


out = ReportingConsole(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = ReportingConsole(stderr=True, highlight=False, soft_wrap=True)


def write(text: str) -> None:
    """Write text to standard output as it is, at once.

    Raises:
        ReaderGone: nobody reads it.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _GONE:
            raise
        raise ReaderGone from error


def write_error(markup: str) -> None:
    """Print a line to standard error; where nobody reads that, it is left out."""
    try:
        err.print(markup)
    except ReaderGone:
        discard(sys.stderr)


def say(text: str) -> None:
    """A line about what is going on; not part of the result, so it goes to standard error."""
    write_error(f"[dim]{escape(text)}[/dim]")


def fail(text: str) -> None:
    """The one line of an error; line breaks, as in the names of files, become spaces."""
    line = " ".join(text.splitlines()).strip()
    write_error(f"[bold red]synth-bench:[/bold red] {escape(line)}")


def discard(stream: TextIO) -> None:
    """Let what is still written to a stream without a reader go nowhere, also at the interpreter's end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def reader_is_gone() -> bool:
    """Whether standard output is a pipe without a reader; for commands that wait long before they write again."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
