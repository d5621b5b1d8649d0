"""Actions as blocks in plain text, for models without function calling."""

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.contracts.steps import Observation
from synthbench.executor.domain.endings import AgentFailed, GaveUp, Submitted
from synthbench.executor.domain.resuming import StartingPoint
from synthbench.executor.scaffolds.native import NativeScaffold
from synthbench.executor.scaffolds.native.conversation import NativeConversation, TurnLimits
from synthbench.executor.scaffolds.native.text_actions import TextBlockFormat
from synthbench.executor.scaffolds.native.window import ContextWindow

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import steps_of

TEXT = {"actions": "text"}


def block(content: str, said: str = "I do it.") -> dict[str, str]:
    return {"role": "assistant", "content": f"{said}\n\n```action\n{content}\n```\n"}


def act(name: str, **arguments: object) -> dict[str, str]:
    return block(json.dumps({"name": name, "arguments": arguments}))


async def test_a_whole_conversation_in_text(make_world: "MakeWorld", script: "Script"):
    fences = "```\nnot the end\n```action\n"
    script.answers = [
        act("write_file", path="a.md", content=fences), act("bash", command="cat a.md"), act("submit", summary="done")
    ]  # fmt: skip
    world = make_world(args=TEXT)
    with pytest.raises(Submitted) as ended:
        await NativeScaffold().run(world)
    assert ended.value.detail == "done"
    first, second, third = steps_of(world)
    assert second.observations[0].content.startswith(fences.strip())
    assert second.action.tool_calls[0].name == "bash"
    last = script.asked[-1]
    assert "tools" not in last
    assert [message["role"] for message in last["messages"]] == ["system", "user", *["assistant", "user"] * 2]
    assert last["messages"][2]["content"] == first.action.message  # word for word
    kept = [json.loads(step.model_call.messages) for step in (first, second, third) if step.model_call]
    assert [message for sent in kept for message in sent] == last["messages"]
    system = last["messages"][0]["content"]
    assert all(f"* {name}: " in system for name in ("bash", "read_file", "edit_file", "undo_edit", "search", "submit"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("```action\n{ls}\n```", "the action cannot be read: the block holds no JSON"),
        ("```action\n[]\n```", "the block has to be one object"),
        ('```action\n{"name": "bash", "arguments": "ls"}\n```', "the block has to be one object"),
        ('```action\n{"name": 7}\n```', "the block has to be one object"),
        ('```action\n{"name": "bash", "command": "ls"}\n```', "the block has to be one object"),
        ('```action\n{"name": "bash", "arguments": {"command": "ls"}}', "is not closed"),
        ("```action\n{}\n```\n```action\n{}\n```", "there are 2 ```action blocks"),
        ('```action\n{"name": "fly"}\n```', "there is no tool 'fly'"),
        ('```action\n{"name": "bash"}\n```', "bad arguments: command: Field required"),
        ("```action\n" + "[" * 100_000 + "\n```", "the block holds no JSON"),
    ],
)
async def test_a_malformed_action_is_answered_and_three_are_enough(
    make_world: "MakeWorld", script: "Script", content: str, said: str
):
    script.answers = [{"content": content}] * 3
    world = make_world(args=TEXT)
    with pytest.raises(AgentFailed, match="3 turns in a row"):
        await NativeScaffold().run(world)
    assert len(steps_of(world)) == 3
    answer = script.asked[1]["messages"][-1]
    assert answer["role"] == "user"
    assert said in answer["content"]


async def test_an_answer_without_a_block_is_nudged_then_given_up(make_world: "MakeWorld", script: "Script"):
    script.answers = [{"content": "It is fine as it is."}] * 3
    with pytest.raises(GaveUp, match="It is fine"):
        await NativeScaffold().run(make_world(args=TEXT))
    assert "no ```action block" in script.asked[1]["messages"][-1]["content"]


async def test_a_conversation_in_text_goes_on_word_for_word(make_world: "MakeWorld", script: "Script"):
    script.answers = [act("bash", command="echo one"), act("bash", command="echo two"), act("submit")]
    world = make_world(args=TEXT)
    with pytest.raises(Submitted):
        await NativeScaffold().run(world)
    again = NativeConversation([], TextBlockFormat(), TurnLimits(), ContextWindow(10_000))
    again.resume(StartingPoint(tuple(steps_of(world)[:2])))
    assert again.messages == script.asked[2]["messages"]


@given(st.text(max_size=60) | st.text(alphabet='`action\n{}"[] ', max_size=60))
def test_any_text_becomes_an_action_that_can_be_answered(content: str):
    dialect = TextBlockFormat()
    action = dialect.read_action({"content": content})
    assert len(action.tool_calls) <= 1
    assert dialect.assistant_message(action) == {"role": "assistant", "content": content}
    (answer,) = dialect.answers(action, [Observation(content="x", tool_call_id="action")])
    assert answer == {"role": "user", "content": "x"}
