"""Simulated models that are asked for text actions instead of tool calls."""

import json

import pytest

from synthbench.simulation.agent_formats import agent_format_of, native_text
from synthbench.simulation.attempt import PolicyTurn, SimulatedAttempt
from synthbench.simulation.policies import POLICIES
from synthbench.tasks import load_library_task


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        ({"messages": [{"role": "system", "content": "Use\n```action\n"}]}, True),
        ({"messages": [{"role": "system", "content": "Use\n```action\n"}], "tools": [{"type": "function"}]}, False),
        ({"messages": [{"role": "system", "content": "Use tools."}]}, False),
        ({"messages": [{"role": "system", "content": [{"type": "text", "text": "```action"}]}]}, False),
        ({"messages": []}, False),
        ({}, False),
        ({"messages": [7]}, False),
    ],
)
def test_text_is_asked_for_by_the_system_prompt(request_: dict, asked: bool):
    assert (agent_format_of(request_).name == "native-text") == asked


def test_a_turn_holds_its_call_as_one_block():
    turn = native_text.render(PolicyTurn("I read é.", [("read_file", {"path": "é\n```"})]), {})
    assert turn.calls == ()
    said, _, action = turn.text.partition("\n\n```action\n")
    assert said == "I read é."
    assert json.loads(action.removesuffix("\n```")) == {"name": "read_file", "arguments": {"path": "é\n```"}}
    assert native_text.render(PolicyTurn("I give up."), {}) == PolicyTurn("I give up.")


@pytest.mark.parametrize("policy", POLICIES)
def test_no_turn_has_more_than_the_one_call_that_text_can_hold(policy: str):
    turns = POLICIES[policy](SimulatedAttempt(load_library_task("simple-task-001"), 0, set()))
    assert all(len(turns(number).calls) <= 1 for number in range(40))
