"""What one hostile sandbox sends to its executor takes nothing of the others: descriptors, memory, the event loop."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthbench.executor.capture.http import SANDBOX_LIMITS
from synthbench.executor.domain.endings import Submitted

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .inside import Player, ended, player_of
from .test_command import python, said

ISOLATED = [pytest.param("docker", marks=pytest.mark.docker), "bubblewrap"]


@pytest.fixture(params=ISOLATED)
async def play(request: pytest.FixtureRequest, make_world: "MakeWorld") -> AsyncGenerator[Player]:
    async with player_of(request.param, make_world) as player:
        yield player


class Watched:
    """The most that was seen of this process."""

    silence = 0.0
    """Processor seconds of one stretch in which the event loop did nothing else."""
    descriptors = 0


@asynccontextmanager
async def watching() -> AsyncGenerator[Watched]:
    seen = Watched()

    async def look() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.02)
            now = time.thread_time()
            seen.silence, last = max(seen.silence, now - last), now
            seen.descriptors = max(seen.descriptors, len(list(Path("/proc/self/fd").iterdir())))

    task = asyncio.create_task(look())
    yield seen
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def memory() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "body",
    [
        'b\'{"model":"m","messages":[\' + b"0," * 15_000_000 + b"0]}"',
        'b\'{"model":"m","messages":[\' + b"{}," * 9_000_000 + b"0]}"',
        'b\'{"model":"m","messages":\' + b"[" * 15_000_000',
        'b\'{"model":"\' + b"x" * 60_000_000 + b\'"}\'',
        '(\'{"model":"m","messages":[\' + "0," * 7_000_000 + "0]}").encode("utf-16")',
    ],
    ids=["numbers", "objects", "nested", "text", "UTF-16"],
)
async def test_a_request_of_too_much_is_refused_without_silence(play: Player, script: "Script", body: str):
    script.answers = [said("ok")]
    before = memory()
    async with watching() as seen:
        played = await play("command", {"command": python(f"print(post('/v1/messages', {body}))\nask(user('Hi'))")})
    assert "error" in played.kept["agent/stdout.txt"]
    ended(played, Submitted)
    assert seen.silence < 1.0
    assert memory() - before < 400_000_000


FLOOD = """
import socket, time
path = [one.split()[-1] for one in open("/proc/net/unix") if one.rstrip().endswith("models")]
import glob
found = [name for name in glob.glob("/run/synthbench/**", recursive=True) if name.endswith(("models", "models.sock"))]
kept = []
end = time.time() + 5
while time.time() < end and len(kept) < 2000:
    try:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(0.5)
        one.connect((found or path)[0])
        one.send(b"POST /v1/chat/completions HTTP/1.1\\r\\n")
        kept.append(one)
    except OSError:
        break
print("opened", len(kept), found, path)
for one in kept:
    one.close()
time.sleep(0.5)
print(ask(user("Hi")))
"""


async def test_connections_that_are_opened_and_kept_take_no_descriptors_of_others(play: Player, script: "Script"):
    script.answers = [said("ok")]
    async with watching() as seen:
        before = len(list(Path("/proc/self/fd").iterdir()))
        played = await play("command", {"command": python(FLOOD)})
    ended(played, Submitted)
    opened = int(played.kept["agent/stdout.txt"].split()[1])
    assert opened > SANDBOX_LIMITS.connections, played.kept
    assert seen.descriptors - before < SANDBOX_LIMITS.connections + 64
    assert len(played.steps) == 1


SURROGATE = '{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}'


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (f"post('/v1/chat/completions', {SURROGATE.encode()!r})", "invalid_request"),
        ("post('/v1/chat/completions', b'{\"messages\":' + b'[' * 50000 + b']' * 50000 + b'}')", "request_too_large"),
        ("post('/v1/chat/completions', b'[]')", "invalid_request"),
        ("post('/v1/chat/completions', b'\\xff')", "invalid_request"),
        ("post('/v1/chat/completions', b'{\"messages\":[' + b'9' * 5000 + b']}')", "invalid_request"),
    ],
    ids=["surrogate", "nested", "no object", "no UTF-8", "long number"],
)
async def test_a_request_that_cannot_be_passed_on_is_told_to_the_agent(
    make_world: "MakeWorld", script: "Script", request_: str, code: str
):
    script.answers = [said("ok")]
    async with player_of("bubblewrap", make_world) as bubble:
        played = await bubble("command", {"command": python(f"print({request_})\nask(user('Hi'))")})
    ended(played, Submitted)
    assert json.loads(played.kept["agent/stdout.txt"].splitlines()[0])["error"]["code"] == code
    assert len(played.steps) == 1


@pytest.mark.parametrize("value", ["\\x01", "\\xe9", "\\x7f", "x" * 2000])
async def test_a_header_that_cannot_be_passed_on_is_told_to_the_agent(
    make_world: "MakeWorld", script: "Script", value: str
):
    script.answers = [said("ok")]
    code = f"""
url, value = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", "a{value}b"
request = urllib.request.Request(url, b"{{}}", {{"anthropic-beta": value}})
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code)
ask(user("Hi"))
"""
    async with player_of("bubblewrap", make_world) as bubble:
        played = await bubble("command", {"command": python(code)})
    ended(played, Submitted)
    assert played.kept["agent/stdout.txt"].splitlines()[0] == "400"
