"""Random hostile models and agents: whatever they say is theirs, and never ends as a failure of ours."""

import asyncio
import json
import socket
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st

from fuzzing import HOSTILE_JSON, HOSTILE_NUMBER, HOSTILE_TEXT, fuzz
from synthbench.chassis.listener import Listener
from synthbench.executor.capture.http import SANDBOX_LIMITS
from synthbench.executor.capture.server import ModelCallProxy
from synthbench.executor.domain.endings import Ending
from synthbench.executor.domain.fault import as_ending
from synthbench.executor.scaffold import World
from synthbench.executor.scaffolds.native import NativeScaffold
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.spec import SandboxSpec

from .conftest import world_of

LONG_EXAMPLES = "ignore:Generating overly large repr"
DEEP = st.sampled_from(["[" * 20_000 + "]" * 20_000, '{"a":' * 20_000 + "1" + "}" * 20_000])
NAMES = st.sampled_from(["bash", "read_file", "write_file", "edit_file", "undo_edit", "search", "submit"])
FIELDS = st.sampled_from(
    ["command", "timeout", "path", "content", "old_text", "new_text", "pattern", "glob", "start_line", "summary"]
)
HARMLESS = st.sampled_from(["", ".", "a.txt", "../a", "/", "true", "*", "**", "(", "[a", "$HOME", "-", "--help"])
ARGUMENTS = (
    st.dictionaries(FIELDS, HARMLESS | HOSTILE_TEXT | HOSTILE_NUMBER, max_size=4).map(json.dumps)
    | DEEP.map(lambda text: f'{{"command": {text}}}')
    | HOSTILE_TEXT
    | HOSTILE_JSON
)
CALL = st.fixed_dictionaries(
    {"id": HOSTILE_TEXT | st.just("c"), "type": st.just("function"),
     "function": st.fixed_dictionaries({"name": NAMES | HOSTILE_TEXT, "arguments": ARGUMENTS})}
) | HOSTILE_JSON  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": HOSTILE_TEXT | HOSTILE_JSON,
        "reasoning_content": HOSTILE_TEXT | HOSTILE_JSON,
        "tool_calls": st.lists(CALL, max_size=3) | HOSTILE_JSON,
    },
)
ANSWER = st.fixed_dictionaries(
    {
        "model": HOSTILE_TEXT | HOSTILE_JSON,
        "choices": st.lists(st.fixed_dictionaries({"message": MESSAGE}), max_size=2),
    },
    optional={"usage": st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), HOSTILE_NUMBER)},
)
BODY = (
    st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": MESSAGE}), min_size=1, max_size=1)})
    | ANSWER
    | HOSTILE_JSON
).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)
SUBMIT = {"role": "assistant", "tool_calls": [
    {"id": "s", "type": "function", "function": {"name": "submit", "arguments": "{}"}}]}  # fmt: skip


def gateway(bodies: list[bytes]) -> httpx.MockTransport:
    """Answers with these bodies, and then with a submit."""

    def answer(_: httpx.Request) -> httpx.Response:
        body = bodies.pop(0) if bodies else json.dumps({"choices": [{"message": SUBMIT}]}).encode()
        return httpx.Response(200, content=body, headers={"content-type": "application/json"})

    return httpx.MockTransport(answer)


@asynccontextmanager
async def world_with(bodies: list[bytes]):
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="synthbench-test-"))
        Path(folder).chmod(0o711)
        engine = load_engine("process", root=Path(folder, "boxes"))
        stack.push_async_callback(engine.aclose)
        sandbox = await engine.create(SandboxSpec(owner="test"))
        stack.push_async_callback(sandbox.close)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=gateway(bodies)))
        yield await world_of(sandbox, client, Path(folder, "artifacts"), max_steps=12)


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work

    asyncio.run(bounded())


async def ending_of_native(world: World) -> Ending:
    try:
        await NativeScaffold().run(world)
    except Exception as error:  # noqa: BLE001 - what the attempt would do with it is what is tested
        return as_ending(error)
    raise AssertionError("it returned without an ending")


@pytest.mark.filterwarnings(LONG_EXAMPLES)
@fuzz(25, bodies=st.lists(BODY, min_size=1, max_size=4))
def test_a_model_may_answer_anything(bodies: list[bytes]):
    async def played() -> None:
        async with world_with(list(bodies)) as world:
            ending = await ending_of_native(world)
            assert ending.outcome is not None

    run(played())


PATH = st.sampled_from([b"/v1/chat/completions", b"/v1/messages", b"/v1/models", b"/agent/printed", b"/agent/files/x"])
WILD = st.binary(max_size=30).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))
HEADER = st.tuples(st.sampled_from([b"anthropic-beta", b"openai-beta", b"x", b"expect", b"connection"]), WILD)
REQUEST_BODY = (
    st.fixed_dictionaries(
        {"model": HOSTILE_TEXT, "messages": st.lists(HOSTILE_JSON, max_size=3) | HOSTILE_JSON},
        optional={"stream": st.booleans() | HOSTILE_JSON, "stream_options": HOSTILE_JSON, "tools": HOSTILE_JSON},
    ).map(lambda value: json.dumps(value).encode())
    | DEEP.map(lambda text: b'{"messages":' + text.encode() + b"}")
    | st.binary(max_size=100)
)
REQUEST = st.tuples(PATH | WILD, st.lists(HEADER, max_size=2), REQUEST_BODY)


async def asked(path: str, request: tuple[bytes, list[tuple[bytes, bytes]], bytes]) -> bytes:
    """Send one request to a Unix socket; return what comes back until the connection ends."""
    target, headers, body = request
    reader, writer = await asyncio.open_unix_connection(path)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    head = b"POST " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + lines
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.filterwarnings(LONG_EXAMPLES)
@fuzz(40, bodies=st.lists(BODY, min_size=2, max_size=4), requests=st.lists(REQUEST, min_size=1, max_size=4))
def test_an_agent_may_send_anything_and_is_told(
    bodies: list[bytes], requests: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]]
):
    async def captured() -> None:
        async with world_with(list(bodies)) as world:
            capture = ModelCallProxy(world, max_output=1_000_000)
            listener = Listener(capture, limits=SANDBOX_LIMITS)
            with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as near:
                near.bind(f"{folder}/models")
                listener.serve_on(near)
                capture.start()
                for request in requests:
                    answer = await asked(f"{folder}/models", request)
                    assert not answer.startswith(b"HTTP/1.1 5"), answer
                honest = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
                last = await asked(f"{folder}/models", (b"/v1/chat/completions", [], json.dumps(honest).encode()))
                assert last.startswith((b"HTTP/1.1 200", b"HTTP/1.1 403")), last
                try:
                    await capture.settle()
                except Exception as error:  # noqa: BLE001 - as above
                    as_ending(error)
                if isinstance(capture.stopped, Exception):
                    as_ending(capture.stopped)
                await listener.close(1)

    run(captured())
