"""Reading what a model says, however broken."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthbench.contracts.steps import Observation
from synthbench.wire.turns import assistant_message, read_action, tool_messages

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CALL = st.fixed_dictionaries(
    {}, optional={"id": JSON, "function": st.fixed_dictionaries({}, optional={"name": JSON, "arguments": JSON}) | JSON}
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional={"content": JSON, "tool_calls": st.lists(CALL, max_size=4) | JSON}))
def test_any_message_becomes_an_action_that_can_be_answered(message: dict):
    action = read_action(message)
    answers = tool_messages(
        [Observation(content="x", tool_call_id=call.id) for call in action.tool_calls] or [Observation()]
    )
    back = assistant_message(action)
    asked = [call["id"] for call in back.get("tool_calls", [])]
    assert len(set(asked)) == len(asked)
    assert asked == [answer["tool_call_id"] for answer in answers if answer["role"] == "tool"]
    assert back["content"] is not None or asked
    json.dumps([back, answers])


def test_parts_and_reasoning_are_read():
    action = read_action(
        {"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}], "reasoning_content": "why"}
    )
    assert (action.message, action.reasoning) == ("ab", "why")
