"""How conversations are made shorter."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.executor.scaffolds.native.window import OPENING, ContextWindow, size, turns_in

Message = dict[str, Any]
START: list[Message] = [{"role": "system", "content": "s"}, {"role": "user", "content": "the task"}]


def turn(number: int, answer: str) -> list[Message]:
    call = {"id": f"c{number}", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
    return [
        {"role": "assistant", "content": f"turn {number}", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": answer},
    ]


def talk(*answers: str) -> list[Message]:
    return START + [message for number, answer in enumerate(answers) for message in turn(number, answer)]


def test_tokens_are_what_the_model_said_and_a_guess_for_the_rest():
    window = ContextWindow(100, overhead=40)
    messages = talk("x" * 400)
    assert window.tokens(messages) == (size(messages) + 40) // 4
    window.measured(1000, messages)
    assert window.tokens(messages) == 1000
    assert window.tokens(talk("x" * 800)) == 1100
    window.measured(0, messages)  # one that does not say
    assert window.tokens(messages) == 1000


def test_old_answers_are_shown_by_their_ends_and_new_ones_stay():
    window = ContextWindow(100_000)
    messages = talk(*[f"{number}-" + "x" * 5000 + f"-{number}" for number in range(6)])
    before = json.dumps(messages)
    elided = window.elided(messages)
    assert json.dumps(messages) == before
    contents = [message["content"] for message in elided if message["role"] == "tool"]
    assert all(len(content) < 500 for content in contents[:3])
    assert contents[0].startswith("0-xxx")
    assert contents[0].endswith("xxx-0")
    assert "4,704 characters of this old answer left out" in contents[0]
    assert contents[3:] == [message["content"] for message in messages if message["role"] == "tool"][3:]


@pytest.mark.parametrize(("turns", "first_kept"), [(1, 0), (2, 1), (3, 2), (5, 3), (6, 3), (8, 4), (20, 16)])
def test_four_new_turns_stay_or_as_many_as_are_half_of_it_all(turns: int, first_kept: int):
    messages = talk(*["x" * 2000] * turns)
    assert messages[ContextWindow(9999).kept(messages)]["content"] == f"turn {first_kept}"


def test_a_summary_stands_for_old_turns_and_is_told_how_many():
    window = ContextWindow(100_000)
    messages = talk(*["seen"] * 6)
    once = window.condensed(messages, " I looked around. ")
    assert once[:OPENING] == START
    assert once[OPENING]["role"] == "user"
    assert once[OPENING]["content"].startswith("The first 3 turns of this work are left out here.")
    assert once[OPENING]["content"].endswith("I looked around.")
    assert once[OPENING + 1 :] == messages[OPENING + 6 :]
    again = window.condensed([*once, *turn(6, "seen"), *turn(7, "seen")], "More.")
    assert "The first 4 turns" in again[OPENING]["content"]
    assert turns_in(again) == 8


def test_an_empty_summary_is_said():
    assert "(nothing was told)" in ContextWindow(9999).condensed(talk(*["a"] * 6), "  ")[OPENING]["content"]


def test_where_there_is_but_one_turn_nothing_is_old():
    window = ContextWindow(1000)
    assert window.old(START) == window.old(talk("x" * 9000)) == []
    assert window.elided(talk("x" * 9000)) == talk("x" * 9000)


def test_a_transcript_says_who_said_what_and_fits():
    window = ContextWindow(1000)
    told = window.transcript(talk("found it")[OPENING:])
    assert told == 'AGENT: turn 0\n[calls bash {"command": "ls"}]\n\nANSWER: found it'
    long = window.transcript(talk("x" * 9000)[OPENING:])
    assert len(long) < 1000 * 4 * 0.7
    assert "characters left out" in long


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12), st.integers(1000, 5000))
def test_whatever_is_left_begins_with_a_turn_and_answers_every_call(sizes: list[int], budget: int):
    window = ContextWindow(budget)
    messages = talk(*["x" * size for size in sizes])
    shorter = window.condensed(window.elided(messages), "s" * 200)
    assert shorter[OPENING + 1]["role"] == "assistant"
    asked = [call["id"] for one in shorter for call in one.get("tool_calls", [])]
    assert asked == [one["tool_call_id"] for one in shorter if one["role"] == "tool"]
    assert turns_in(shorter) == len(sizes)
    assert size(window.elided(messages)) <= size(messages) or not window.old(messages)


@pytest.mark.parametrize("role", ["user"])
def test_answers_in_text_are_elided_as_well(role: str):
    messages = [*START]
    for number in range(6):
        messages += [{"role": "assistant", "content": f"turn {number}"}, {"role": role, "content": "y" * 2000}]
    elided = ContextWindow(100_000).elided(messages)
    assert [len(one["content"]) < 600 for one in elided if one["role"] == role][1:] == [True] * 3 + [False] * 3
