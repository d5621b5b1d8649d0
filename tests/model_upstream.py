"""A model provider for tests: a real HTTP server on both wires that takes requests as strictly as the real ones do.

Each request is validated with the SDKs' own types, the rules about tool calls and results are kept, keys are checked,
and every answer is validated before it leaves. What it saw is kept. It may be told to misbehave.
"""

import asyncio
import json
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic

from aiohttp import web
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter, ValidationError

KEY = "sk-upstream-secret-0123456789"
REQUESTS = {
    ("openai", False): TypeAdapter(CompletionCreateParamsNonStreaming),
    ("openai", True): TypeAdapter(CompletionCreateParamsStreaming),
    ("anthropic", False): TypeAdapter(MessageCreateParamsNonStreaming),
    ("anthropic", True): TypeAdapter(MessageCreateParamsStreaming),
}
EVENT = TypeAdapter(RawMessageStreamEvent)
INPUT, CACHED, OUTPUT = 1000, 200, 100
"""Tokens of every answer; the cached ones are among the input."""


@dataclass
class Seen:
    """One request."""

    wire: str
    body: dict
    headers: dict[str, str]
    served: str
    """`ok`, or the fault that it met."""
    at: float = field(default_factory=monotonic)


@dataclass
class Answer:
    """What the model says."""

    text: str = "It rains."
    calls: list[tuple[str, dict]] = field(default_factory=list)
    thinking: str = ""


@dataclass
class Played:
    """An answer that is served as it is, whole or as these events; one that is a string is a comment."""

    answer: dict
    events: list


class Upstream:
    """The server. `faults` are served first, one a request; then proper answers. A status may come with the pause that
    is asked for, as seconds or as a date: `429 after 2`, `503 until 2`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: deque[str] = deque()
        self.key = KEY
        self.port = 0
        self.delay = 0.0
        self.away = False
        """Whether it says so when it is asked for its models."""
        self.refuses_nothing = False
        """Whether requests are taken unseen, as by a proxy in front of a provider."""
        self.always_streams = False
        """Whether it streams to who did not ask for it."""
        self.say = self.default
        self.play: Played | None = None
        """Served in place of what `say` says."""
        self._runner: web.AppRunner | None = None
        self._over = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self.openai)
        app.router.add_post("/v1/messages", self.anthropic)
        app.router.add_get("/v1/models", self.models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def hang(self) -> None:
        """Until the server stops, 30 s at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), 30)

    async def stop(self) -> None:
        self._over.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []}, status=503 if self.away else 200)

    @staticmethod
    def default(wire: str, body: dict) -> Answer:
        """Call every tool at once, then speak."""
        last = body["messages"][-1]
        content = last.get("content")
        answered = last["role"] == "tool" or (
            isinstance(content, list) and any(block["type"] == "tool_result" for block in content)
        )
        names = [tool["function"]["name"] if wire == "openai" else tool["name"] for tool in body.get("tools") or []]
        if answered or not names or body.get("tool_choice") in ("none", {"type": "none"}):
            return Answer("It is 11 degrees in Paris.")
        return Answer("I look.", [(name, {"city": f"Paris {number}"}) for number, name in enumerate(names)])

    async def openai(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("authorization", "")
        return await self.serve("openai", request, allowed=authorization == f"Bearer {self.key}")

    async def anthropic(self, request: web.Request) -> web.StreamResponse:
        allowed = request.headers.get("x-api-key") == self.key and "anthropic-version" in request.headers
        return await self.serve("anthropic", request, allowed=allowed)

    async def serve(self, wire: str, request: web.Request, *, allowed: bool) -> web.StreamResponse:
        body = json.loads(await request.read())
        fault = self.faults.popleft() if self.faults else "ok"
        self.seen.append(Seen(wire, body, dict(request.headers), fault))
        if not allowed:
            return refuse(wire, 401, "wrong key")
        if self.refuses_nothing:
            response = await self.misbehave(wire, fault, request, body) if fault != "ok" else None
            made = openai_body(body, Answer()) if wire == "openai" else anthropic_body(body, Answer())
            return response or web.json_response(made)
        if problem := problem_of(wire, body):
            return refuse(wire, 400, problem)
        if self.delay:
            await asyncio.sleep(self.delay)
        if fault != "ok":
            response = await self.misbehave(wire, fault, request, body)
            if response is not None:
                return response
        if self.play is not None:
            return await self.played(self.play, request, streams=bool(body.get("stream")))
        answer = self.say(wire, body)
        if not body.get("stream") and not self.always_streams:
            made = openai_body(body, answer) if wire == "openai" else anthropic_body(body, answer)
            if fault == "negative":
                made["usage"] = dict.fromkeys(made["usage"], -5)
            return web.json_response(made)
        return await self.stream(wire, request, body, answer, fault)

    async def stream(
        self, wire: str, request: web.Request, body: dict, answer: Answer, fault: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        events = openai_events(body, answer) if wire == "openai" else anthropic_events(body, answer)
        if fault == "negative":
            events = [event.replace(f'_tokens": {OUTPUT}'.encode(), b'_tokens": -5') for event in events]
        if fault in ("cut", "reset", "hang", "garbage"):
            events = events[: len(events) // 2]
        for event in events:
            await response.write(event)
        if fault == "reset":
            abort(request)
        if fault == "hang":
            await self.hang()
        if fault == "garbage":
            await asyncio.sleep(0.1)  # what came before is out by then
            await response.write(b"data: {half a jso\n\n")
        return response

    @staticmethod
    async def played(play: Played, request: web.Request, *, streams: bool) -> web.StreamResponse:
        """Whole, where no events are given, even to who asks for a stream."""
        if not streams or not play.events:
            return web.json_response(play.answer)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in play.events:
            name = f"event: {event['type']}\n".encode() if isinstance(event, dict) and "type" in event else b""
            await response.write(f"{event}\n\n".encode() if isinstance(event, str) else name + sse(event))
        if "choices" in play.answer:
            await response.write(b"data: [DONE]\n\n")
        return response

    async def misbehave(self, wire: str, fault: str, request: web.Request, body: dict) -> web.StreamResponse | None:
        streams = bool(body.get("stream"))
        status, word, seconds = (*fault.split(" "), "", "")[:3]
        if status.isdigit():
            until = datetime.now(UTC) + timedelta(seconds=int(seconds or 0))
            pause = {"after": seconds, "until": format_datetime(until, usegmt=True)}.get(word)
            pause = pause or ("0" if status == "429" else None)
            return refuse(wire, int(status), f"status {status}", {"retry-after": pause} if pause else {})
        if fault == "context":
            code = "context_length_exceeded" if wire == "openai" else None
            return refuse(wire, 400, "prompt is too long: 9 tokens > 8 maximum context length", code=code)
        if fault in CANNED:
            data, content_type = CANNED[fault]
            return web.Response(body=data, content_type=content_type)
        if fault == "big":
            answer = Answer("x" * (10 << 20))
            if streams:
                return await self.stream(wire, request, body, answer, "ok")
            return web.json_response(openai_body(body, answer) if wire == "openai" else anthropic_body(body, answer))
        if fault == "timeout" or (fault == "hang" and not streams):
            await self.hang()
        if fault in ("reset", "cut", "garbage") and not streams:
            abort(request)
            return refuse(wire, 500, "gone")
        return None


def problem_of(wire: str, body: dict) -> str | None:
    """Why a real provider would not take a request."""
    try:
        REQUESTS[wire, bool(body.get("stream"))].validate_python(body)
    except ValidationError as error:
        return str(error.errors()[0])
    return (orphans_openai if wire == "openai" else orphans_anthropic)(body["messages"])


CANNED = {
    "html": (b"<html>it works</html>", "text/html"),
    "half": (b'{"id": "x", "choices": [{"mess', "application/json"),
    "wrong_type": (b"data: [DONE]\n\n", "text/plain"),
}


def abort(request: web.Request) -> None:
    """Break the connection with a reset."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def refuse(
    wire: str, status: int, message: str, headers: dict | None = None, code: str | None = "refused"
) -> web.Response:
    error = {"message": message, "type": "invalid_request_error"}
    body = {"error": {**error, "code": code}} if wire == "openai" else {"type": "error", "error": error}
    return web.json_response(body, status=status, headers=headers)


def orphans_openai(messages: list[dict]) -> str:
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return f"tool result for unknown call {message['tool_call_id']}"
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return f"calls without a result: {waiting}"
        waiting = [call["id"] for call in message.get("tool_calls") or []]
    return f"calls without a result: {waiting}" if waiting else ""


def orphans_anthropic(messages: list[dict]) -> str:
    waiting: set[str] = set()
    side = ""
    for message in messages:
        if message["role"] == side:
            return "roles must alternate"
        side = message["role"]
        blocks = [] if isinstance(message["content"], str) else message["content"]
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != waiting:
            return f"results {results} for uses {waiting}"
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if any(block["type"] == "text" and not block["text"] for block in blocks):
            return "text content blocks must be non-empty"
    return f"uses without results: {waiting}" if waiting else ""


def tool_calls(answer: Answer) -> list[dict]:
    return [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for number, (name, given) in enumerate(answer.calls)
    ]


def openai_usage() -> dict:
    details = {"prompt_tokens_details": {"cached_tokens": CACHED}}
    return {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT, **details}


def openai_body(request: dict, answer: Answer) -> dict:
    calls = tool_calls(answer)
    message: dict = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    body = {
        "id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": f"{request['model']}-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop",
                     "logprobs": None}],
        "usage": openai_usage(), "x_unknown": {"kept": True},
    }  # fmt: skip
    ChatCompletion.model_validate(body)
    return body


def openai_events(request: dict, answer: Answer) -> list[bytes]:
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1,
            "model": f"{request['model']}-2026-01-01"}  # fmt: skip
    with_usage = bool((request.get("stream_options") or {}).get("include_usage"))
    deltas: list[dict] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": answer.thinking}] if answer.thinking else []
    deltas += [{"content": piece} for piece in pieces_of(answer.text)]
    for number, call in enumerate(tool_calls(answer)):
        function = {**call["function"], "arguments": ""}
        deltas.append({"tool_calls": [{**call, "index": number, "function": function}]})
        deltas += [
            {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}
            for piece in pieces_of(call["function"]["arguments"])
        ]
    finish = "tool_calls" if answer.calls else "stop"
    chunks = [
        *({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas),
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
    ]
    if with_usage:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**head, "choices": [], "usage": openai_usage()})
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return [b": keep alive\n\n", *(sse(chunk) for chunk in chunks), b"data: [DONE]\n\n"]


def anthropic_usage() -> dict:
    return {"input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED, "output_tokens": OUTPUT}


def blocks_of(answer: Answer) -> list[dict]:
    thinking = {"type": "thinking", "thinking": answer.thinking, "signature": "c2lnbmVk"}
    text = {"type": "text", "text": answer.text}
    uses = [
        {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}
        for number, (name, given) in enumerate(answer.calls)
    ]
    return [*([thinking] if answer.thinking else []), *([text] if answer.text else []), *uses]


def anthropic_body(request: dict, answer: Answer) -> dict:
    body = {
        "id": "msg_7", "type": "message", "role": "assistant", "model": f"{request['model']}-2026-01-01",
        "content": blocks_of(answer), "stop_reason": "tool_use" if answer.calls else "end_turn",
        "stop_sequence": None, "usage": anthropic_usage(), "x_unknown": {"kept": True},
    }  # fmt: skip
    Message.model_validate(body)
    return body


def anthropic_events(request: dict, answer: Answer) -> list[bytes]:
    whole = anthropic_body(request, answer)
    opening = {**whole, "content": [], "stop_reason": None, "usage": {**anthropic_usage(), "output_tokens": 1}}
    events: list[dict] = [{"type": "message_start", "message": opening}]
    for index, block in enumerate(whole["content"]):
        empty, deltas = dict(block), []
        match block["type"]:
            case "text":
                empty["text"] = ""
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces_of(block["text"])]
            case "thinking":
                empty |= {"thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": block["thinking"]},
                          {"type": "signature_delta", "signature": block["signature"]}]  # fmt: skip
            case _:
                empty["input"] = {}
                given = json.dumps(block["input"])
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces_of(given)]
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": OUTPUT}})
    events.append({"type": "message_stop"})
    for event in events:
        EVENT.validate_python(event)
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    made = [f"event: {event['type']}\n".encode() + sse(event) for event in events]
    return [made[0], ping, *made[1:]]


def pieces_of(text: str) -> list[str]:
    """Three pieces, so that streams have something to put together."""
    third = max(1, len(text) // 3)
    return [piece for piece in (text[:third], text[third : 2 * third], text[2 * third :]) if piece]


def sse(body: dict) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


PRICES = "prices = { input = 1.0, cached = 0.5, output = 10.0 }"


def two_wires(url: str, more: str = "") -> str:
    """A models.toml with a provider on each wire, both of them the server at `url`."""
    return f"""
[providers.chat]
kind = "openai"
base_url = "{url}"
api_key_env = "UPSTREAM_KEY"

[providers.claude]
kind = "anthropic"
base_url = "{url}"
api_key_env = "UPSTREAM_KEY"

[models."chat/small"]
{PRICES}

[models."claude/small"]
{PRICES}
max_output = 500
{more}
"""
