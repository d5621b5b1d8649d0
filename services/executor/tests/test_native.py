"""The native scaffold's loop, with a real sandbox and a model that says what the test wants."""

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from synthbench.contracts.records import Outcome
from synthbench.executor.domain.endings import AgentFailed, GaveUp, InfraFailure, LimitReached, Submitted
from synthbench.executor.scaffolds.native import NativeScaffold

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import calls, steps_of

SUBMIT = calls(("submit", {"summary": "all done"}))


async def test_a_whole_conversation(make_world: "MakeWorld", script: "Script"):
    world = make_world()
    script.answers = [
        calls(("write_file", {"path": "a.txt", "content": "one\ntwo\n"}), ("bash", {"command": "mkdir d; cd d; pwd"})),
        calls(("bash", {"command": "pwd; cat ../a.txt; exit 3"}), content="Looking."),
        SUBMIT,
    ]
    with pytest.raises(Submitted) as ended:
        await NativeScaffold().run(world)
    assert ended.value.detail == "all done"
    first, second, third = steps_of(world)
    assert {change.path for change in first.state.changed} == {"a.txt", "d"}
    assert "+two" in first.state.patch
    assert first.state.cwd == f"{world.sandbox.workdir}/d"
    assert second.action.message == "Looking."
    assert second.state.exit_code == 3
    assert second.observations[0].content.startswith(f"{world.sandbox.workdir}/d\none\ntwo")
    assert third.action.tool_calls[0].name == "submit"
    assert all(step.sealed().digest == step.digest for step in (first, second, third))
    assert (world.clock.steps, world.clock.usage.input_tokens, world.clock.usage.cost_microusd) == (3, 30, 21)
    # Each tool call was answered, in order, and the record of the requests has no gap.
    last = script.asked[-1]["messages"]
    assert [m["role"] for m in last] == ["system", "user", "assistant", "tool", "tool", "assistant", "tool"]
    kept = [json.loads(step.model_call.messages) for step in (first, second, third) if step.model_call]
    assert [message for sent in kept for message in sent] == last
    assert [bool(step.model_call and step.model_call.base) for step in (first, second, third)] == [True, False, False]


async def test_the_task_is_in_the_first_message(make_world: "MakeWorld", script: "Script"):
    world = make_world()
    script.answers = [SUBMIT]
    with pytest.raises(Submitted):
        await NativeScaffold().run(world)
    system, user = script.asked[0]["messages"]
    assert world.package.instruction.strip() in user["content"]
    assert world.sandbox.workdir in system["content"] + user["content"]
    assert {tool["function"]["name"] for tool in script.asked[0]["tools"]} == {
        "bash", "read_file", "write_file", "edit_file", "undo_edit", "search", "submit"
    }  # fmt: skip


@pytest.mark.parametrize("silent", [{"content": "I think it is fine."}, {"content": None}, {}, {"content": 7}])
async def test_three_turns_without_a_call_give_up(make_world: "MakeWorld", script: "Script", silent: dict):
    script.answers = [silent] * 3
    world = make_world()
    with pytest.raises(GaveUp):
        await NativeScaffold().run(world)
    assert len(steps_of(world)) == 3
    assert script.asked[1]["messages"][-1]["role"] == "user"  # it was told how to go on


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (("bash", "{not json"), "bad_arguments"),
        (("bash", "[1, 2]"), "bad_arguments"),
        (("bash", {"cmd": "ls"}), "bad_arguments"),
        (("fly", {}), "unknown_tool"),
        (("", {}), "unknown_tool"),
    ],
)
async def test_nonsense_is_answered_and_three_times_is_enough(
    make_world: "MakeWorld", script: "Script", broken: tuple, error: str
):
    script.answers = [calls(broken)] * 3
    world = make_world()
    with pytest.raises(AgentFailed, match="3 turns in a row"):
        await NativeScaffold().run(world)
    assert [step.observations[0].error for step in steps_of(world)] == [error] * 3


async def test_one_good_call_starts_the_count_anew(make_world: "MakeWorld", script: "Script"):
    bad = calls(("fly", {}))
    script.answers = [bad, bad, calls(("bash", {"command": "true"})), bad, bad, SUBMIT]
    with pytest.raises(Submitted):
        await NativeScaffold().run(make_world())


async def test_calls_after_submit_are_not_run(make_world: "MakeWorld", script: "Script"):
    script.answers = [calls(("submit", {}), ("write_file", {"path": "late", "content": "x"}))]
    world = make_world()
    with pytest.raises(Submitted):
        await NativeScaffold().run(world)
    (step,) = steps_of(world)
    assert [seen.error for seen in step.observations] == [None, "after_submit"]
    assert not step.state.changed


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [({"max_steps": 2}, Outcome.STEP_LIMIT), ({"max_tokens": 30}, Outcome.TOKEN_LIMIT)],
)
async def test_limits_end_it(make_world: "MakeWorld", script: "Script", limits: dict, outcome: Outcome):
    script.answers = [calls(("bash", {"command": "true"}))] * 9
    world = make_world(**limits)
    with pytest.raises(LimitReached) as ended:
        await NativeScaffold().run(world)
    assert ended.value.outcome == outcome
    assert len(steps_of(world)) == 2


def refusal(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": f"because of {code}"}})


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (refusal(402, "cost_limit"), Outcome.COST_LIMIT),
        (refusal(400, "context_length_exceeded"), Outcome.TOKEN_LIMIT),
    ],
)
async def test_what_the_gateway_refuses_is_a_limit(
    make_world: "MakeWorld", script: "Script", answer: object, outcome: Outcome
):
    script.answers = [answer]
    with pytest.raises(LimitReached) as ended:
        await NativeScaffold().run(make_world())
    assert ended.value.outcome == outcome


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(401, "invalid_api_key"), r"refused \(invalid_api_key\): because of"),
        (refusal(503, "overloaded"), r"answered 503 \(overloaded\)"),
        (httpx.ConnectError("no route"), "does not answer: no route"),
        (httpx.Response(418, text="teapot"), r"refused \(418\): teapot"),
    ],
)
async def test_what_is_our_failure_is_never_the_agents(
    make_world: "MakeWorld", script: "Script", answer: object, said: str
):
    script.answers = [answer]
    with pytest.raises(InfraFailure, match=said):
        await NativeScaffold().run(make_world())


async def test_seconds_are_a_limit_as_well(make_world: "MakeWorld", script: "Script"):
    script.answers = [calls(("bash", {"command": "sleep 0.4"}))] * 9
    world = make_world(max_seconds=0.3)
    with pytest.raises(LimitReached) as ended:
        await NativeScaffold().run(world)
    assert ended.value.outcome == Outcome.TIME_LIMIT
    (step,) = steps_of(world)
    assert step.observations[0].error == "timeout"


async def test_a_circle_is_told_and_then_ended(make_world: "MakeWorld", script: "Script"):
    script.answers = [calls(("bash", {"command": "echo same"}))] * 9
    world = make_world(settings={"loop_repeats": 2})
    with pytest.raises(AgentFailed, match="4 turns in a row were the same, and so were their answers: bash"):
        await NativeScaffold().run(world)
    assert [len(step.observations) for step in steps_of(world)] == [1, 2, 2, 2]
    nudge = script.asked[2]["messages"][-1]
    assert nudge["role"] == "user"
    assert nudge["content"].startswith("You have done exactly this 2 times in a row")
    assert steps_of(world)[1].observations[-1].content == nudge["content"]


@pytest.mark.parametrize(
    "other", [calls(("bash", {"command": "echo other"})), {"content": "Let me think."}, calls(("fly", {}))]
)
async def test_something_else_breaks_a_circle(make_world: "MakeWorld", script: "Script", other: dict):
    same = calls(("bash", {"command": "echo same"}))
    script.answers = [same, same, same, other, same, same, same, SUBMIT]
    with pytest.raises(Submitted):
        await NativeScaffold().run(make_world(settings={"loop_repeats": 2}))


async def test_the_same_call_with_another_answer_is_no_circle(make_world: "MakeWorld", script: "Script"):
    script.answers = [*[calls(("bash", {"command": "echo x >> f; wc -l < f"}))] * 6, SUBMIT]
    world = make_world(settings={"loop_repeats": 2})
    with pytest.raises(Submitted):
        await NativeScaffold().run(world)
    assert all(len(step.observations) == 1 for step in steps_of(world))


async def test_patience_is_a_setting(make_world: "MakeWorld", script: "Script"):
    script.answers = [calls(("fly", {}))] * 2
    with pytest.raises(AgentFailed, match="2 turns in a row"):
        await NativeScaffold().run(make_world(settings={"agent_patience": 2}))


async def test_a_shell_that_stays(make_world: "MakeWorld", script: "Script"):
    script.answers = [
        calls(("bash", {"command": "X=5; mkdir d; cd d"})), calls(("bash", {"command": "echo $X; pwd"})), SUBMIT
    ]  # fmt: skip
    world = make_world(args={"shell": "persistent"})
    with pytest.raises(Submitted):
        await NativeScaffold().run(world)
    first, second, _ = steps_of(world)
    assert first.state.cwd == f"{world.sandbox.workdir}/d"
    assert second.observations[0].content.startswith(f"5\n{world.sandbox.workdir}/d\n")
    (bash,) = [tool for tool in script.asked[0]["tools"] if tool["function"]["name"] == "bash"]
    assert "a shell that stays" in bash["function"]["description"]


PERSISTENT = {"shell": "persistent"}


@pytest.mark.parametrize("args", [{}, PERSISTENT, {"actions": "text"}], ids=str)
@pytest.mark.parametrize("prompt", ["formal", "concise", "detailed"])
def test_every_prompt_says_what_matters(make_world: "MakeWorld", prompt: str, args: dict):
    world = make_world(args={"prompt": prompt, **args}, settings={"tool_timeout_seconds": 17})
    briefing = NativeScaffold().briefing(world)
    said = briefing.system_prompt
    assert briefing.prompt_version == f"native/2/{prompt}" + ("/text" if "actions" in args else "")
    assert all(word in said for word in (world.sandbox.workdir, "17 s", "submit", "network"))
    assert ("```action" in said) == ("actions" in args)
    assert "{" not in said or "actions" in args
    assert "\n\n\n" not in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            {"shel": "persistent"},
            "scaffold native has no argument 'shel'; it has shell, prompt, actions, context_tokens",
        ),
        (
            {"shell": "fish"},
            "scaffold native takes no shell='fish'; shell is 'one-shot' or 'persistent'",
        ),
        ({"prompt": ""}, "scaffold native takes no prompt=''; prompt is 'formal', 'concise' or 'detailed'"),
        (
            {"context_tokens": "10"},
            "scaffold native takes no context_tokens='10'; context_tokens is greater than or equal to 1000",
        ),
    ],
)
def test_arguments_that_there_are_not_are_refused_in_a_line(make_world: "MakeWorld", args: dict, said: str):
    with pytest.raises(AgentFailed) as refused:
        NativeScaffold().briefing(make_world(args=args))
    assert str(refused.value) == said
