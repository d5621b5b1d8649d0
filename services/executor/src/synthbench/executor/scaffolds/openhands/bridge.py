"""Runs inside a sandbox: the client of an OpenHands agent server. Standard library only.

Without arguments it reads `plan.json` beside it, starts the server (or takes the one at `url`), creates a conversation,
follows its events until it is over, deletes it, and leaves `events.jsonl` and `end.json`.
With `after ID` it prints the events after that one, one JSON object a line, of the conversation that runs, or ran.
"""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 60.0
_GONE_SECONDS = 10.0
_STOP_SECONDS = 3.0
_OVER = ("finished", "error", "stuck", "deleting")

FOLDER = Path(os.environ.get("TMPDIR", "/tmp"), "synthbench-agent")  # noqa: S108 - inside
EVENTS = FOLDER / "events.jsonl"
WHERE = FOLDER / "conversation.json"
LOG = FOLDER / "server.log"


class ServerRefused(Exception):
    """The server's answer is an error."""


class NoServer(Exception):
    """There is none to talk to."""


FAILED = (OSError, HTTPException, ValueError, KeyError, TypeError, ServerRefused)
"""What may come of asking."""


def say(text: str) -> None:
    """Print a line at once: it shows that something goes on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Server:
    """An agent server, and a conversation with it."""

    def __init__(self, url: str, conversation: str = "") -> None:
        self.url = url
        self.conversation = conversation

    def ask(self, method: str, path: str, body: Any = None, seconds: float = _ANSWER_SECONDS) -> Any:
        """Send JSON and return JSON."""
        where = urlsplit(self.url)
        link = HTTPConnection(where.hostname or "", where.port or 80, timeout=seconds)
        try:
            sent = None if body is None else json.dumps(body)
            link.request(method, where.path.rstrip("/") + path, sent, {"content-type": "application/json"})
            answer = link.getresponse()
            data = answer.read()
        finally:
            link.close()
        if answer.status >= 400:
            raise ServerRefused(f"{method} {path}: {answer.status} {data[:1000].decode(errors='replace')}")
        return json.loads(data or b"null")

    def ready(self) -> bool:
        """Return whether the server answers."""
        try:
            self.ask("GET", "/ready", seconds=5)
        except FAILED:
            return False
        return True

    def create(self, wanted: Any) -> None:
        """Begin a conversation, which runs at once."""
        self.conversation = self.ask("POST", "/api/conversations", wanted)["id"]

    def status(self) -> str:
        """Return the execution status of the conversation."""
        return self.ask("GET", f"/api/conversations/{self.conversation}")["execution_status"]

    def events(self, after: str) -> list[Any]:
        """Return the events after the one with this id; all of them where it is empty."""
        page: str | None = after
        found: list[Any] = []
        while True:
            query = f"?limit=100{f'&page_id={page}' if page else ''}"
            answer = self.ask("GET", f"/api/conversations/{self.conversation}/events/search{query}")
            found += answer["items"]
            page = answer.get("next_page_id")
            if not page:
                return [event for event in found if event["id"] != after]

    def delete(self) -> None:
        """End the conversation, and forget it."""
        self.ask("DELETE", f"/api/conversations/{self.conversation}", seconds=_STOP_SECONDS)


Process = subprocess.Popen[bytes]


def start(command: str) -> tuple[Server, Process]:
    """Start a server on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    home = FOLDER / "server"
    home.mkdir(exist_ok=True)
    with LOG.open("wb") as log:
        argv = ["sh", "-c", f"{command} --host 127.0.0.1 --port {port}"]
        process = subprocess.Popen(argv, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - what it is for
    return Server(f"http://127.0.0.1:{port}"), process


def wait_until_ready(server: Server, process: Process | None, seconds: float) -> None:
    """Wait for the server's first answer.

    Raises:
        NoServer: it ended, or takes too long.
    """
    begun = time.monotonic()
    while not server.ready():
        if process and process.poll() is not None:
            raise NoServer(f"it ended with {process.returncode}: {last_words()}")
        if time.monotonic() - begun > seconds:
            raise NoServer(f"nothing answered at {server.url} within {seconds:g} s: {last_words()}")
        time.sleep(_POLL_SECONDS)
    say(f"agent server: ready after {time.monotonic() - begun:.1f} s")


def last_words() -> str:
    """The last line that the server printed."""
    lines = LOG.read_text(errors="replace").strip().splitlines() if LOG.exists() else []
    return lines[-1].strip()[:300] if lines else "it said nothing"


def follow(server: Server, process: Process | None) -> tuple[str, str]:
    """Write events down until the conversation is over; return its status, and why there is none."""
    last, last_event = "", time.monotonic()
    with EVENTS.open("w") as kept:
        while True:
            try:
                status = server.status()
                for event in server.events(last):
                    last = event["id"]
                    kept.write(json.dumps(event) + "\n")
                    kept.flush()
                    say(f"{event.get('kind')} {event.get('tool_name') or event.get('key') or ''}")
                last_event = time.monotonic()
                if status in _OVER:
                    return status, ""
            except FAILED as error:
                if process and process.poll() is not None:
                    return "server_gone", f"it ended with {process.returncode}: {last_words()}"
                if time.monotonic() - last_event > _GONE_SECONDS:
                    return "server_gone", f"it does not answer any more: {error}"
            time.sleep(_POLL_SECONDS)


def converse(plan: Any) -> dict[str, str]:
    """The whole run; return how it ended, as `end.json` says it."""
    process: Process | None = None
    try:
        if plan["url"]:
            server = Server(plan["url"])
        else:
            server, process = start(plan["server"])
        wait_until_ready(server, process, plan["start_seconds"])
        wanted = plan["conversation"]
        wanted["agent"]["llm"]["base_url"] = os.environ["OPENAI_BASE_URL"]
        wanted["workspace"]["working_dir"] = str(Path.cwd())
        server.create(wanted)
        WHERE.write_text(json.dumps({"url": server.url, "id": server.conversation}))
        status, detail = follow(server, process)
        with suppress(*FAILED):
            server.delete()
    except NoServer as error:
        return {"status": "no_server", "detail": str(error)}
    except FAILED as error:
        return {"status": "refused", "detail": str(error)}
    finally:
        if process:
            stop(process)
    return {"status": status, "detail": detail}


def stop(process: Process) -> None:
    """End the server."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def print_after(last: str) -> None:
    """Print what came after an event, from the server while it is there, else from what was written down."""
    try:
        where = json.loads(WHERE.read_text())
        found = Server(where["url"], where["id"]).events(last)
    except FAILED:
        found = [json.loads(line) for line in EVENTS.read_text().splitlines()] if EVENTS.exists() else []
        ids = [event["id"] for event in found]
        found = found[ids.index(last) + 1 :] if last in ids else found
    for event in found:
        say(json.dumps(event))


if __name__ == "__main__":
    if sys.argv[1:2] == ["after"]:
        print_after(sys.argv[2])
    else:
        ended = converse(json.loads((FOLDER / "plan.json").read_text()))
        (FOLDER / "end.json").write_text(json.dumps(ended))
