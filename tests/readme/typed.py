"""The README's commands, in its order, and a shell that they are typed into."""

import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

_BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"@@(\d+)@@ ")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NOT_TYPED: Mapping[str, str] = {
    "make test": "it is what runs this",
    "OPENAI_API_KEY": "it needs a provider's key",
    "docker compose": "it needs Docker compose",
    "make compose-env": "it writes the settings of Docker compose",
    ". ./.env": "it needs the settings of Docker compose",
}
"""What is left out, by a part of the command, and why."""


@dataclass(frozen=True)
class Command:
    """One command of the README."""

    text: str
    left_out: str = ""
    """Why it is not typed."""


def commands(readme: str) -> Generator[Command | tuple[str, str]]:
    """Yield the commands of a README, and (name, content) of the files that it shows before a command reads them."""
    for language, text in _BLOCK.findall(readme):
        if language == "toml":
            yield text.split(":")[0].removeprefix("# ").strip(), text
            continue
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip():
                reason = next((why for part, why in NOT_TYPED.items() if part in line), "")
                yield Command(" ".join(line.split()), reason)


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    text: str
    code: int
    seconds: float


class Shell:
    """One shell. Commands see a terminal of so many columns; without columns their output goes through a pipe."""

    def __init__(self, controller: int, *, piped: bool) -> None:
        self._controller = controller
        self._piped = piped

    def type(self, command: str, seconds: float) -> Answer:
        """Type a command, and wait for the next prompt.

        Raises:
            TimeoutError: it does not come.
        """
        began = time.monotonic()
        # An assignment or `eval` must reach this shell, so a pipe cannot stand behind the command.
        line = f"{{ {command.partition(' #')[0]}\n}} > out.txt 2>&1 < /dev/null" if self._piped else command
        os.write(self._controller, f"{line}\n".encode())
        text, code = self.answer(seconds)
        if self._piped:
            text = Path(f"/proc/{self.pid}/cwd/out.txt").read_text()
        return Answer(_ANSI.sub("", text).replace("\r", ""), code, time.monotonic() - began)

    pid = 0

    def answer(self, seconds: float) -> tuple[str, int]:
        """Read up to the next prompt."""
        deadline, text = time.monotonic() + seconds, ""
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError(text[-2000:])
            if select.select([self._controller], [], [], 0.5)[0]:
                text += os.read(self._controller, 65536).decode(errors="replace")
            if found := _PROMPT.search(text):
                return text[: found.start()], int(found[1])


@contextmanager
def shell(folder: Path, env: Mapping[str, str], columns: int | None) -> Generator[Shell]:
    """Open a shell in a folder; it ends with the block."""
    pid, controller = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting"], dict(env))
    ioctl(controller, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns or 80, 0, 0))
    opened = Shell(controller, piped=columns is None)
    opened.pid = pid
    try:
        os.write(controller, b"stty -echo; PS2=; PS1='@@''$?''@@ '\n")
        opened.answer(30)
        yield opened
    finally:
        os.kill(pid, signal.SIGHUP)
        os.close(controller)
        os.waitpid(pid, 0)
