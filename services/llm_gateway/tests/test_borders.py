"""Wherever the network cuts a stream: the same record, the same answer to the caller, the same usage."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthbench.wire.relays import relay_for
from synthbench.wire.sse import DONE, Splitter, event
from synthbench.wire.tool_calls import CallIds
from synthbench.wire.translate import answers, streams
from synthbench.wire.usage import usage_of
from synthbench.wire.whole_answers import whole_of
from synthbench.wire.wires import WIRES

FOLDER = Path(__file__).with_name("golden")
PATHS = [path for path in sorted(FOLDER.glob("*.json")) if path.stem != "errors"]
TURNS = [
    pytest.param(file["documented"], turn["events"], id=f"{path.stem} {number}")
    for path, file in ((path, json.loads(path.read_text("utf-8"))) for path in PATHS)
    for number, turn in enumerate(file["turns"])
]


def body_of(wire: str, events: list[Any], *, line_end: bytes = b"\n") -> bytes:
    """The stream as a provider sends it; a text among the events is a comment."""
    made = b""
    for one in events:
        name = one["type"] if wire == "anthropic" and isinstance(one, dict) else ""
        made += event(one, name) if isinstance(one, dict) else f": {one}\n\n".encode()
    return (made + (event(DONE) if wire == "openai" else b"")).replace(b"\n", line_end)


def passed(provider: str, caller: str, pieces: list[bytes]) -> tuple[bytes, Any, Any, bool]:
    """What the caller gets, the provider's whole answer, its usage, and whether the stream is whole."""
    asked = WIRES[caller].read(json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}).encode())
    tracker, relay = (
        WIRES[provider].tracker(CallIds((), lambda: "seed")),
        relay_for(asked, WIRES[asked.wire], WIRES[provider]),
    )
    splitter, out = Splitter(1 << 20), b""
    for piece in pieces:
        for one in splitter.feed(piece):
            seen = tracker.see(one)
            out += relay.feed(seen.event, seen.data)
    return out + relay.end(), tracker.answer, tracker.usage, tracker.complete


@pytest.mark.timeout(300)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("provider", "events"), TURNS)
def test_a_stream_cut_at_any_byte_is_the_same_stream(provider: str, events: list[Any], line_end: bytes, monkeypatch):
    for module in (answers, streams):
        monkeypatch.setattr(module.time, "time", lambda: 1.0)
    body = body_of(provider, events, line_end=line_end)
    for caller in WIRES:
        whole = passed(provider, caller, [body])
        out, _, usage, complete = whole
        assert complete
        record = whole_of(caller, out)
        assert usage_of(caller, record) in (usage, None)
        for cut in range(1, len(body)):
            # The record and the usage of the caller's side follow from its bytes, which are compared.
            assert passed(provider, caller, [body[:cut], body[cut:]]) == whole, cut
        assert passed(provider, caller, [body[at : at + 1] for at in range(len(body))]) == whole


@pytest.mark.parametrize(("provider", "events"), TURNS)
def test_a_stream_that_ends_at_any_byte_is_an_answer_or_a_clear_failure(provider: str, events: list[Any]):
    body = body_of(provider, events)
    complete = passed(provider, provider, [body])[1]
    for cut in range(len(body)):
        made = whole_of(provider, body[:cut])
        assert set(made) <= set(complete) | {"object", "choices", "content"}
