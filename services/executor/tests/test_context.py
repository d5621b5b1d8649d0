"""A conversation that outgrows its room: elided, condensed, recorded, and resumed to the word."""

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from synthbench.contracts.records import Outcome
from synthbench.contracts.steps import Step
from synthbench.executor.domain.endings import ContextFull, LimitReached, Submitted
from synthbench.executor.domain.resuming import StartingPoint, request_messages, taken_over
from synthbench.executor.scaffolds.native import NativeScaffold
from synthbench.executor.scaffolds.native.window import turns_in
from synthbench.executor.workspace.preparing import PreparedWorkspace

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import calls, steps_of

SUMMARY = {"role": "assistant", "content": "Two files were looked at."}
SUBMIT = calls(("submit", {"summary": "done"}))


def look(number: int, length: int = 2000) -> dict[str, Any]:
    return calls(("bash", {"command": f"head -c {length} /dev/zero | tr '\\0' {number}"}))


def full() -> httpx.Response:
    return httpx.Response(400, json={"error": {"code": "context_length_exceeded", "message": "too long"}})


class Counting:
    """Answers as a script does, with the tokens that a model would count: characters over four."""

    def __init__(self, script: "Script") -> None:
        self.script = script

    def answer(self, message: Any) -> Any:
        if isinstance(message, httpx.Response):
            return message

        def made() -> httpx.Response:
            tokens = len(json.dumps(self.script.asked[-1]["messages"])) // 4
            usage = {"prompt_tokens": tokens, "completion_tokens": 5}
            return httpx.Response(200, json={"model": "m", "choices": [{"message": message}], "usage": usage})

        return made


async def run(world, script: "Script", answers: list[Any]) -> None:
    counting = Counting(script)
    script.answers = [counting.answer(one) for one in answers]
    await NativeScaffold().run(world)


ANSWERS = [*(look(number, 1500) for number in range(9)), SUBMIT]


def model(asked: dict[str, Any]) -> dict[str, Any]:
    """One that knows by the conversation where it is, as real ones do."""
    if asked["messages"][0]["content"].startswith("Condense"):
        return SUMMARY
    return ANSWERS[turns_in(asked["messages"])]


def answering(script: "Script") -> Any:
    def made() -> httpx.Response:
        request = script.asked[-1]
        usage = {"prompt_tokens": len(json.dumps(request["messages"])) // 4, "completion_tokens": 5}
        return httpx.Response(200, json={"model": "m", "choices": [{"message": model(request)}], "usage": usage})

    return made


def requests_of(steps: list[Step]) -> list[list[dict[str, Any]]]:
    """What was asked, put together again from the record alone."""
    found: list[list[dict[str, Any]]] = []
    for step in steps:
        found.append(request_messages(found[-1] if found else [], step.model_call))
    return found


async def test_old_answers_are_elided_and_the_record_has_them_whole(make_world: "MakeWorld", script: "Script"):
    world = make_world(args={"context_tokens": "3500"})
    with pytest.raises(Submitted):
        await run(world, script, [*(look(number) for number in range(6)), SUBMIT])
    steps = steps_of(world)
    assert [step.kind for step in steps] == ["turn"] * 7
    assert all(len(step.observations[0].content) > 2000 for step in steps[:6])
    asked = [one["messages"] for one in script.asked]
    assert requests_of(steps) == asked
    shortened = [bool(step.model_call and step.model_call.whole) for step in steps]
    assert any(shortened)
    first = shortened.index(True)
    assert "characters of this old answer left out" in json.dumps(asked[first])
    assert len(json.dumps(asked[first])) < len(json.dumps(asked[first - 1]))
    newest = [message["content"] for message in asked[first] if message["role"] == "tool"][-1]
    assert len(newest) > 2000


async def test_where_eliding_is_not_enough_old_turns_are_condensed(make_world: "MakeWorld", script: "Script"):
    world = make_world(args={"context_tokens": "2000"})
    script.answers = [answering(script)] * 40
    with pytest.raises(Submitted):
        await NativeScaffold().run(world)
    steps = steps_of(world)
    kinds = [step.kind for step in steps]
    assert "condensation" in kinds
    at = kinds.index("condensation")
    step = steps[at]
    assert step.model_call
    assert step.model_call.whole
    assert step.action.message == "Two files were looked at."
    assert (step.action.tool_calls, step.observations) == ([], [])
    assert step.usage.calls == 1
    asked = script.asked[at]
    assert "tools" not in asked
    assert asked["messages"][0]["content"].startswith("Condense the history")
    assert world.package.instruction.strip() in asked["messages"][1]["content"]
    assert "[calls bash" in asked["messages"][1]["content"]
    after = script.asked[at + 1]["messages"]
    assert after[:2] == script.asked[0]["messages"]
    assert after[2]["content"].startswith("The first ")
    assert after[2]["content"].endswith("Two files were looked at.")
    assert after[3]["role"] == "assistant"
    assert requests_of(steps) == [one["messages"] for one in script.asked]
    assert step.sealed().digest == step.digest
    assert step.model_copy(update={"kind": "turn"}).sealed().digest != step.digest


@pytest.mark.parametrize("budget", ["2000", "4100"], ids=["condensed", "elided"])
async def test_resumed_after_any_step_it_asks_what_it_would_have_asked(
    make_world: "MakeWorld", script: "Script", budget: str
):
    args = {"context_tokens": budget}
    world = make_world(args=args)
    script.answers = [answering(script)] * 40
    with pytest.raises(Submitted):
        await NativeScaffold().run(world)
    steps, asked = list(steps_of(world)), [one["messages"] for one in script.asked]
    assert any(step.model_call and step.model_call.whole for step in steps)
    assert (budget == "2000") == any(step.kind == "condensation" for step in steps)
    for kept in range(1, len(steps)):
        before = tuple(taken_over(step, world.rollout.rollout_id, 1) for step in steps[:kept])
        baseline = await world.sandbox.snapshot()
        again = make_world(
            args=args, prepared=PreparedWorkspace(world.sandbox, StartingPoint(before), baseline, baseline), attempt=2
        )
        for step in before:
            await again.recorder.take_over(step)
        script.asked.clear()
        script.answers = [answering(script)] * 40
        with pytest.raises(Submitted):
            await NativeScaffold().run(again)
        assert [one["messages"] for one in script.asked] == asked[kept:], f"after {kept} steps"
        assert requests_of(steps_of(again)) == asked
        assert [step.kind for step in steps_of(again)] == [step.kind for step in steps]


async def test_what_the_model_refuses_is_condensed_once(make_world: "MakeWorld", script: "Script"):
    world = make_world()
    with pytest.raises(Submitted):
        await run(world, script, [look(1), look(2), full(), SUMMARY, look(3), SUBMIT])
    assert [step.kind for step in steps_of(world)] == ["turn", "turn", "condensation", "turn", "turn"]


async def test_refused_again_it_is_a_limit(make_world: "MakeWorld", script: "Script"):
    world = make_world()
    with pytest.raises(ContextFull) as ended:
        await run(world, script, [look(1), look(2), full(), SUMMARY, full()])
    assert ended.value.outcome == Outcome.TOKEN_LIMIT
    assert [step.kind for step in steps_of(world)] == ["turn", "turn", "condensation"]


async def test_where_nothing_is_old_a_refusal_is_a_limit_at_once(make_world: "MakeWorld", script: "Script"):
    world = make_world()
    with pytest.raises(ContextFull):
        await run(world, script, [look(1), full()])
    assert len(steps_of(world)) == 1


async def test_the_summary_itself_refused_is_a_limit(make_world: "MakeWorld", script: "Script"):
    world = make_world()
    with pytest.raises(ContextFull):
        await run(world, script, [look(1), look(2), full(), full()])
    assert [step.kind for step in steps_of(world)] == ["turn", "turn"]


async def test_a_condensation_counts_as_a_step_and_its_tokens_count(make_world: "MakeWorld", script: "Script"):
    world = make_world(max_steps=3)
    with pytest.raises(LimitReached) as ended:
        await run(world, script, [look(1), look(2), full(), SUMMARY, look(3)])
    assert ended.value.outcome == Outcome.STEP_LIMIT
    assert world.clock.usage.calls == 3
