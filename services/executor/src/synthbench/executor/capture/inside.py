"""Runs inside a sandbox: starts an agent, and leads its HTTP to the executor's socket. Standard library only.

`python3 -I -S -c SOURCE`, with a JSON object on standard input: `socket`, `argv`, `env`, `files` (name -> text, put
into the agent's folder first) and `send` (names in that folder which are handed to the executor at the end).
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_TOLD_SECONDS = 0.25
_LAST_OUTPUT_SECONDS = 2.0
_CHUNK = 65536


class Executor:
    """The executor, at the other end of its socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._printed = 0
        self._told = 0.0
        self._counting = threading.Lock()

    def connect(self) -> socket.socket:
        """Connect to the executor."""
        link = socket.socket(socket.AF_UNIX)
        link.connect(self._path)
        return link

    def tell(self, path: str, body: bytes) -> None:
        """POST a body to the executor."""
        head = f"POST {path} HTTP/1.1\r\nHost: executor\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        with self.connect() as link:
            link.sendall(head.encode() + body)
            while link.recv(_CHUNK):
                pass

    def printed(self, more: int) -> None:
        """Report now and then how much output there was."""
        with self._counting:
            self._printed += more
            now = time.monotonic()
            if now - self._told < _TOLD_SECONDS:
                return
            self._told = now
            self.tell("/agent/printed", b"%d" % self._printed)

    def forward(self, near: socket.socket) -> None:
        """Carry bytes both ways until either side is done."""
        with suppress(OSError), near, self.connect() as far:
            other = {near: far, far: near}
            while True:
                for one in select.select([near, far], [], [])[0]:
                    data = one.recv(_CHUNK)
                    if not data:
                        return
                    other[one].sendall(data)

    def listen(self) -> str:
        """Forward whoever connects to the address that is returned."""
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self.forward, args=(near,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def pump(executor: Executor, source: int, target: int) -> None:
    """Pass the agent's output on."""
    while data := os.read(source, _CHUNK):
        written = 0
        while written < len(data):
            written += os.write(target, data[written:])
        executor.printed(len(data))


def run(executor: Executor, argv: list[str], env: dict[str, str], folder: Path) -> int:
    """Run the agent to its end, and return its exit code as a shell has it."""
    base = executor.listen()
    given = {
        "OPENAI_BASE_URL": f"{base}/v1",
        "OPENAI_API_BASE": f"{base}/v1",
        "OPENAI_API_KEY": "none-is-needed",
        "ANTHROPIC_BASE_URL": base,
        "ANTHROPIC_API_BASE": base,
        "ANTHROPIC_API_KEY": "none-is-needed",
        "SYNTHBENCH_AGENT_FOLDER": str(folder),
    }
    executor.tell("/agent/printed", b"0")
    outputs = [os.pipe(), os.pipe()]
    child = subprocess.Popen(  # noqa: S603 - what it is for
        argv,
        env={**os.environ, **given, **env},
        stdin=subprocess.DEVNULL,
        stdout=outputs[0][1],
        stderr=outputs[1][1],
    )
    pumps: list[threading.Thread] = []
    for target, (source, sink) in enumerate(outputs, start=1):
        os.close(sink)
        pumps.append(threading.Thread(target=pump, args=(executor, source, target), daemon=True))
        pumps[-1].start()
    code = child.wait()
    for one in pumps:
        one.join(_LAST_OUTPUT_SECONDS)
    return code if code >= 0 else 128 - code


def main() -> int:
    """Read the plan, and do it."""
    plan = json.load(sys.stdin)
    executor = Executor(plan["socket"])
    folder = Path(os.environ.get("TMPDIR", "/tmp"), "synthbench-agent")  # noqa: S108 - inside
    folder.mkdir(exist_ok=True)
    for name, text in plan["files"].items():
        (folder / name).write_text(text, encoding="utf-8")
    code = run(executor, plan["argv"], plan["env"], folder) if plan["argv"] else 0
    for name in plan["send"]:
        with suppress(OSError):
            executor.tell(f"/agent/files/{name}", (folder / name).read_bytes())
    return code


if __name__ == "__main__":
    os._exit(main())  # whatever its threads still wait for
