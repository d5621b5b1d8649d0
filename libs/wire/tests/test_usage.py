"""One rule for usage: what is inside of what, on both wires, whole, streamed and translated."""

import pytest

from synthbench.contracts.records import Usage
from synthbench.wire.sse import event
from synthbench.wire.translate import anthropic_answer, openai_answer
from synthbench.wire.usage import usage_of
from synthbench.wire.whole_answers import whole_of


def counted(wire: str, usage: dict) -> Usage:
    found = usage_of(wire, {"usage": usage})
    assert found is not None
    return found


READ, WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
HOUR = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}


def claude(given: int, **more: object) -> dict:
    return {"input_tokens": given, "output_tokens": 2, **more}


def gpt(given: int, cached: int) -> dict:
    return {"prompt_tokens": given, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": cached}}


@pytest.mark.parametrize(
    ("wire", "usage", "expected"),
    [
        ("anthropic", claude(9, **{READ: 1}), (10, 1, 0, 0)),
        ("openai", gpt(10, 1), (10, 1, 0, 0)),
        ("openai", gpt(9, 11), (9, 9, 0, 0)),
        ("anthropic", claude(3, **{WRITTEN: 12304}), (12307, 0, 12304, 0)),
        ("anthropic", claude(1, **{WRITTEN: 300, "cache_creation": HOUR}), (301, 0, 300, 200)),
        ("anthropic", claude(1, cache_creation={"ephemeral_1h_input_tokens": 200}), (201, 0, 200, 200)),
    ],
)
def test_cached_tokens_are_inside_the_input_once(wire: str, usage: dict, expected: tuple[int, ...]):
    found = counted(wire, usage)
    assert (found.input_tokens, found.cached_tokens, found.cache_write_tokens, found.cache_write_1h_tokens) == expected
    answer = {"usage": usage, "content": [], "choices": []}
    there, back = (openai_answer, anthropic_answer) if wire == "anthropic" else (anthropic_answer, openai_answer)
    other = "openai" if wire == "anthropic" else "anthropic"
    across = there(answer)[0]
    assert usage_of(other, across) == found
    assert usage_of(wire, back({**across, "content": [], "choices": []})[0]) == found


def streamed(start: dict, delta: dict) -> Usage:
    events = [
        {"type": "message_start", "message": {"content": [], "usage": start}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": delta},
    ]
    found = usage_of("anthropic", whole_of("anthropic", b"".join(event(one, str(one["type"])) for one in events)))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("start", "delta", "total", "cached"),
    [
        ({"input_tokens": 3602}, {"cache_read_input_tokens": 3604}, 3604, 3604),
        ({"input_tokens": 3602, "cache_read_input_tokens": 0}, {"cache_read_input_tokens": 3604}, 3604, 3604),
        ({"input_tokens": 3602}, {"input_tokens": 2, "cache_read_input_tokens": 3604}, 3606, 3604),
        ({"input_tokens": 100, "cache_read_input_tokens": 50}, {"input_tokens": 100}, 150, 50),
        ({"input_tokens": 100, "cache_read_input_tokens": 50}, {}, 150, 50),
        ({"input_tokens": 100, "cache_read_input_tokens": 50}, {"cache_read_input_tokens": 50}, 150, 50),
        ({"input_tokens": 100}, {"input_tokens": None, "cache_read_input_tokens": 40}, 100, 40),
        ({"input_tokens": 0}, {"input_tokens": 7, "cache_read_input_tokens": None}, 7, 0),
    ],
)
def test_what_a_stream_counts_late_is_not_counted_twice(start: dict, delta: dict, total: int, cached: int):
    found = streamed({**start, "output_tokens": 1}, {**delta, "output_tokens": 7})
    assert (found.input_tokens, found.cached_tokens, found.output_tokens) == (total, cached, 7)
