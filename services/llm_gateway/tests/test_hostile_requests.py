"""Random hostile requests on both wires: refused or answered in JSON, never by a failure of the gateway's own."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import strategies as st

from fuzzing import HOSTILE_JSON, HOSTILE_NUMBER, HOSTILE_TEXT, fuzz
from model_upstream import two_wires

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MODELS = {"openai": "chat/small", "anthropic": "claude/small"}
WIRES = st.sampled_from(["openai", "anthropic"])
VALUE = HOSTILE_JSON | HOSTILE_TEXT | HOSTILE_NUMBER
ROLES = st.sampled_from(["user", "assistant", "system", "tool", "developer"])
CALLED = st.fixed_dictionaries(
    {"id": VALUE, "type": st.just("function"),
     "function": st.fixed_dictionaries({"name": VALUE | st.just("f"), "arguments": VALUE | st.just("{}")})}
)  # fmt: skip
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "image", "tool_use", "tool_result", "thinking",
        "document"]) | VALUE},
    optional=dict.fromkeys(("text", "id", "name", "input", "tool_use_id", "content", "source", "image_url",
        "thinking", "signature", "cache_control"), VALUE),
)  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": ROLES | VALUE, "content": HOSTILE_TEXT | VALUE | st.lists(BLOCK, max_size=2)},
    optional={"tool_calls": st.lists(CALLED, max_size=2) | VALUE, "tool_call_id": VALUE, "name": VALUE,
              "reasoning_content": VALUE},
)  # fmt: skip
PARAMETERS = st.fixed_dictionaries({"type": st.just("object"), "properties": VALUE}) | VALUE
TOOL = (
    st.fixed_dictionaries(
        {"type": st.just("function"),
         "function": st.fixed_dictionaries({"name": st.just("f") | VALUE, "parameters": PARAMETERS})}
    )
    | st.fixed_dictionaries({"name": st.just("f") | VALUE, "input_schema": PARAMETERS}, optional={"type": VALUE})
    | VALUE
)  # fmt: skip
FIELDS = [
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "n", "seed", "stop", "stop_sequences",
    "stream",
    "stream_options", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "thinking",
    "metadata",
    "system", "user", "logit_bias", "logprobs", "extra_body", "provider", "functions", "service_tier",
]  # fmt: skip
GOOD_MESSAGES = [{"role": "user", "content": "Does it rain?"}]
BODY = st.fixed_dictionaries(
    {"messages": st.just(GOOD_MESSAGES) | st.lists(MESSAGE, max_size=3) | VALUE},
    optional={"model": VALUE, "tools": st.lists(TOOL, max_size=2) | VALUE, **dict.fromkeys(FIELDS, VALUE),
              "stream": st.booleans() | VALUE},
)  # fmt: skip
BROKEN = st.binary(max_size=60) | st.sampled_from(
    [b"", b"null", b"[]", b"0", b'"', b"[" * 100_000, b'{"a":' * 20_000,
        b'{"messages": ' + b"[" * 900 + b"]" * 900 + b"}",
     b'{"max_tokens": 1e999}', b'{"max_tokens": ' + b"9" * 5000 + b"}", b'{"seed": NaN}', b"\xef\xbb\xbf{}",
     b"\xff\xfe{\0}\0",
     b'{"model": "\xff"}', b'{"model": "\\ud800", "messages": []}', b'{"model": "a\0b"}', b"x" * (2 << 20)]
)  # fmt: skip
HEADERS = st.sampled_from(
    ["authorization", "x-api-key", "x-synthbench-deadline-seconds", "x-stainless-retry-count", "traceparent",
        "tracestate",
     "anthropic-version", "anthropic-beta", "openai-organization", "content-type", "accept-encoding", "cookie",
     "x-other"]
)  # fmt: skip
LATIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
PLAIN_VALUES = LATIN | st.sampled_from(
    ["nan", "inf", "-inf", "1e999", "-1", "0", "9" * 400, "Bearer ", "Bearer a.b.c", "Bearer " + "x." * 3000, "\t",
        "ÿ" * 2000,
     "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "application/x-www-form-urlencoded", "gzip;q=nan"]
)  # fmt: skip
NO_HTTP_VALUES = LATIN.map(lambda text: text + "\x01\x1b\x7f") | st.sampled_from(["\0", "a\0b", "x" * 300_000])


@dataclass(frozen=True)
class Running:
    """A gateway, and the key for each wire."""

    url: str
    keys: dict[str, str]


@pytest.fixture
def gateway(start_replicas, upstream) -> Generator[Running]:
    """A gateway in a process of its own, in front of a provider that takes every request."""
    upstream.refuses_nothing = True
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(start_replicas(1, two_wires(upstream.url), max_body_mb="1")) as group,
    ):
        yield Running(group.replicas[0].url, {wire: group.key(model) for wire, model in MODELS.items()})


def post(gateway: Running, wire: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
    """Send exactly these bytes; return the status, the content type and the body of the answer."""
    given = {"authorization": f"Bearer {gateway.keys[wire]}", "content-type": "application/json", **headers}
    connection = HTTPConnection(urlsplit(gateway.url).netloc, timeout=30)
    try:
        connection.putrequest("POST", PATHS[wire])
        connection.putheader("content-length", str(len(body)))
        for name, value in given.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"] or "", answer.read()
    finally:
        connection.close()


def check(wire: str, status: int, content_type: str, answer: bytes) -> None:
    """Fail unless it is an answer, or an error of the caller's with its message, in the shape of the wire."""
    assert status < 500, answer[:300]
    if content_type.startswith("text/event-stream"):
        assert b"gateway_error" not in answer
        return
    told: Any = json.loads(answer)
    if status == 200:
        assert "choices" in told or told["type"] == "message"
        return
    assert told["error"]["message"]
    assert "\n" not in told["error"]["message"]
    assert (told.get("type") == "error") is (wire == "anthropic")


def check_works(gateway: Running, wire: str) -> None:
    body = {"model": MODELS[wire], "max_tokens": 9, "messages": GOOD_MESSAGES}
    status, _, answer = post(gateway, wire, json.dumps(body).encode(), {})
    assert status == 200, answer[:300]


@fuzz(150, wire=WIRES, body=BODY)
def test_wrong_fields_are_refused_in_the_shape_of_the_wire(gateway: Running, wire: str, body: dict[str, Any]):
    given = {"model": MODELS[wire], "max_tokens": 9, **body}
    check(wire, *post(gateway, wire, json.dumps(given).encode(), {}))
    check_works(gateway, wire)


@fuzz(60, wire=WIRES, body=BROKEN | HOSTILE_JSON.map(lambda value: json.dumps(value).encode()))
def test_bodies_that_are_no_request_are_refused_in_the_shape_of_the_wire(gateway: Running, wire: str, body: bytes):
    status, content_type, answer = post(gateway, wire, body, {})
    assert 400 <= status < 500
    check(wire, status, content_type, answer)
    check_works(gateway, wire)


@pytest.mark.parametrize("wire", sorted(PATHS))
def test_what_the_listener_refuses_is_refused_in_the_shape_of_the_wire(gateway: Running, wire: str):
    deep = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for body in (deep, b" " * 3_000_000):
        status, content_type, answer = post(gateway, wire, body, {})
        assert (status, content_type) == (413, "application/json")
        check(wire, status, content_type, answer)
        assert json.loads(answer)["error"]["code"] == "request_too_large"


@fuzz(60, wire=WIRES, headers=st.dictionaries(HEADERS, PLAIN_VALUES, min_size=1, max_size=3))
def test_headers_of_any_value_are_answered_in_the_shape_of_the_wire(
    gateway: Running, wire: str, headers: dict[str, str]
):
    body = json.dumps({"model": MODELS[wire], "max_tokens": 9, "messages": GOOD_MESSAGES}).encode()
    check(wire, *post(gateway, wire, body, headers))
    check_works(gateway, wire)


@fuzz(30, wire=WIRES, name=HEADERS, value=NO_HTTP_VALUES)
def test_headers_that_http_forbids_are_refused_or_answered_and_the_gateway_goes_on(
    gateway: Running, wire: str, name: str, value: str
):
    try:
        status, _, answer = post(gateway, wire, b"{}", {name: value})
    except ConnectionError:  # refused before the whole request was read
        status, answer = 400, b""
    assert 400 <= status < 500, answer[:300]
    check_works(gateway, wire)
