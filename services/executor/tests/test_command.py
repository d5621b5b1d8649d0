"""Any agent in the sandbox: what it asks and does becomes steps while it runs, and however it ends, that has a name."""

import asyncio
import contextlib
import json
import os
import shlex
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from synthbench.contracts.records import Outcome
from synthbench.contracts.steps import Step, step_digest
from synthbench.executor.domain.endings import AgentFailed, Draining, GaveUp, InfraFailure, LimitReached, Submitted
from synthbench.sandbox.image import ImageSource

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import Heard, calls
from .inside import ENGINES, Played, Player, ended, player_of

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "agents"
LOOP = (EXAMPLES / "loop.py").read_text()
POST = """
import json, os, sys, urllib.error, urllib.request
def post(path, body, base=os.environ["ANTHROPIC_BASE_URL"]):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"content-type": "application/json", "x-api-key": "stolen?"})
    try:
        return urllib.request.urlopen(request).read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
def ask(*messages, **more):
    return post("/v1/chat/completions", {"model": "gpt-of-its-own", "messages": messages, **more})
def user(text):
    return {"role": "user", "content": text}
"""


@pytest.fixture(params=ENGINES)
async def play(request: pytest.FixtureRequest, make_world: "MakeWorld") -> AsyncGenerator[Player]:
    async with player_of(request.param, make_world) as player:
        yield player


@pytest.fixture
async def bubble(make_world: "MakeWorld") -> AsyncGenerator[Player]:
    async with player_of("bubblewrap", make_world) as player:
        yield player


def python(code: str) -> str:
    return f"python3 -c {shlex.quote(POST + code)}"


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def reached(played: Played, outcome: Outcome) -> str:
    assert isinstance(played.ending, LimitReached), (played.ending, played.kept)
    assert played.ending.outcome is outcome
    return played.ending.detail


def requests_of(steps: list[Step]) -> list[list[Any]]:
    """The messages of each request, as the record tells them."""
    whole: list[Any] = []
    found: list[list[Any]] = []
    for step in steps:
        assert step.model_call is not None
        new = json.loads(step.model_call.messages)
        whole = new if step.model_call.whole else [*whole, *new]
        found.append(whole)
    return found


async def test_a_small_agent_makes_a_whole_trajectory(play: Player, script: "Script"):
    script.answers = [
        calls(("bash", {"command": "echo 1 >made.txt; cat $HOME/nothing"}), content="I begin."),
        calls(("bash", {"command": "cat made.txt"}), ("bash", "no json")),
        said("It is done."),
    ]
    played = await play("command", {"command": f"python3 -c {shlex.quote(LOOP)}"})
    assert ended(played, Submitted) == "It is done."
    first, second, last = steps = played.steps
    assert [step.index for step in steps] == [0, 1, 2]
    assert all(step.digest == step_digest(step) for step in steps)
    assert first.action.message == "I begin."
    assert [(change.path, change.kind) for change in first.state.changed] == [("made.txt", "added")]
    assert "exit code 1" in first.observations[0].content
    assert first.observations[0].tool_call_id == "c0"
    assert second.observations[0].content == "1\n\nexit code 0"
    assert "cannot be used" in second.observations[1].content
    assert second.action.tool_calls[1].error
    assert not last.observations
    assert not second.state.changed
    assert requests_of(steps) == [asked["messages"] for asked in script.asked]
    assert not any(step.model_call.whole for step in steps if step.model_call)
    assert [bool(step.model_call.base) for step in steps if step.model_call] == [True, False, False]
    assert {step.usage.input_tokens for step in steps} == {10}
    assert {step.usage.cost_microusd for step in steps} == {7}
    assert all(step.timing.tool_seconds > 0 for step in steps)
    assert played.kept == {"agent/stdout.txt": "It is done.\n", "agent/stderr.txt": ""}
    assert {asked["model"] for asked in script.asked} == {"m"}


async def test_a_step_is_safe_before_the_next_call_goes_out(bubble: Player, script: "Script", monkeypatch):
    script.answers = [said("ok") for _ in range(4)]
    asked_when_kept: list[int] = []
    announce = Heard.announce

    async def kept(heard: Heard, event: Any) -> None:
        await announce(heard, event)
        asked_when_kept.append(len(script.asked))

    monkeypatch.setattr(Heard, "announce", kept)
    await bubble("command", {"command": python("for n in range(4): ask(user(str(n)))")})
    assert asked_when_kept == [1, 2, 3, 4]


@pytest.mark.docker
async def test_it_works_as_root_in_an_image_of_its_own_and_may_leave_a_server(
    make_world: "MakeWorld", script: "Script"
):
    script.answers = [said("ok")]
    async with player_of("docker", make_world) as player:
        image = await player.engine.image(ImageSource(name="python:3.11-slim-bookworm"))
        spec = {"image": image.id, "root": "writable", "user": "root", "background": True}
        command = "(sleep 600 >/dev/null 2>&1 &); id -u; " + python("ask(user('Hi'))")
        played = await player("command", {"command": command}, spec=spec)
    assert ended(played, Submitted) == "0"
    assert len(played.steps) == 1


async def test_the_shell_example_works_as_well(bubble: Player, script: "Script"):
    script.answers = [said("echo hello >greeting; ls"), said("exit 3"), said("DONE")]
    played = await bubble("command", {"command": (EXAMPLES / "loop.sh").read_text()})
    ended(played, Submitted)
    first, second, _ = played.steps
    assert first.observations[0].content == "greeting"
    assert second.observations[0].content == " (exit code 3)"


async def test_the_attempts_key_stays_outside(bubble: Player, script: "Script"):
    script.answers = [said("ok")]
    code = "ask(user(open(os.environ['SYNTHBENCH_INSTRUCTION_FILE']).read() + json.dumps(dict(os.environ))))"
    await bubble("command", {"command": python(code), "env.MINE": "yes"})
    text = json.dumps(script.asked[0])
    assert "MINE" in text
    assert "none-is-needed" in text
    assert "Bearer key" not in text


async def test_anthropics_wire_and_streams(bubble: Player, script: "Script"):
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "x"}}
    message = {
        "type": "message", "model": "claude", "content": [{"type": "thinking", "thinking": "Hm."}, use],
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 2},
    }  # fmt: skip
    chunks = [
        {"model": "g", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]},
        {"model": "g", "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
        {"model": "g", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
    ]
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    ending = ": cost-microusd=11 cost-known=true\n\ndata: [DONE]\n\n"
    script.answers = [
        httpx.Response(200, json=message),
        httpx.Response(200, json={**message, "content": [{"type": "text", "text": "So."}]}),
        httpx.Response(200, text="".join(events) + ending, headers={"content-type": "text/event-stream"}),
        httpx.Response(200, text=events[0], headers={"content-type": "text/event-stream"}),
    ]
    code = """
def claude(messages):
    return post("/v1/messages", {"model": "c", "system": "Be good.", "max_tokens": 9, "messages": messages})
talk = [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}]
answer = json.loads(claude(talk))
result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "seen"}], "is_error": True}
talk = [user("Hi"), {"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
claude(talk)
print(ask(user("Another"), stream=True))
print(ask(user("Broken"), stream=True))
"""
    played = await bubble("command", {"command": python(code)})
    ended(played, Submitted)
    first, second, third, fourth = played.steps
    assert first.action.reasoning == "Hm."
    assert first.action.tool_calls[0].arguments == '{"at": "x"}'
    assert (first.observations[0].content, first.observations[0].error) == ("seen", "tool_error")
    assert (first.usage.input_tokens, first.usage.cached_tokens) == (9, 4)
    assert first.model_call
    assert "Be good." in first.model_call.base
    assert second.action.message == "So."
    assert not second.observations
    assert (third.action.message, third.usage.input_tokens, third.usage.cost_microusd) == ("Hello", 3, 11)
    assert third.model_call
    assert third.model_call.response == "".join(events) + ending
    assert fourth.action.message == "Hel"
    assert fourth.observations[0].error == "broken_answer"
    assert [step.model_call.whole for step in played.steps if step.model_call] == [False, True, True, True]
    assert requests_of(played.steps) == [asked["messages"] for asked in script.asked]
    assert '"usage"' not in played.kept["agent/stdout.txt"]
    assert "[DONE]" in played.kept["agent/stdout.txt"]


async def test_other_conversations_and_parallel_calls_are_steps_of_their_own(bubble: Player, script: "Script"):
    script.answers = [said(str(number)) for number in range(6)]
    code = """
import threading
ask(user("Main"))
ask(user("A title, please"))
ask(user("Main"), {"role": "assistant", "content": "0"}, user("Go on"))
threads = [threading.Thread(target=ask, args=(user(f"Sub {n}"),)) for n in range(3)]
for one in threads: one.start()
for one in threads: one.join()
"""
    played = await bubble("command", {"command": python(code)})
    ended(played, Submitted)
    assert [step.action.message for step in played.steps] == list("012345")
    assert requests_of(played.steps) == [asked["messages"] for asked in script.asked]
    assert len(script.asked) == 6


@pytest.mark.parametrize(
    ("command", "kind", "detail"),
    [
        ("echo >&2 out of luck; exit 7", AgentFailed, "the agent ended with 7: out of luck"),
        ("true", GaveUp, "without asking the model"),
        (python("ask(user('Hi')); sys.exit('no more')"), AgentFailed, "ended with 1: no more"),
        (python("ask(user('Hi')); os.kill(os.getpid(), 9)"), AgentFailed, "ended with 137"),
        ("no-such-agent", AgentFailed, "ended with 127"),
        ("", AgentFailed, "wants an argument `command`"),
        ("# nothing", GaveUp, "without asking the model"),
        (python("ask(user('Hi')); import time; time.sleep(60)"), AgentFailed, "hangs: no model call and no output"),
        ("(sleep 600 &) ; exec sleep 600", AgentFailed, "hangs"),
    ],
)
async def test_however_an_agent_ends_it_has_a_name(bubble: Player, script: "Script", command, kind, detail):
    script.answers = [said("Hello")]
    idle = "1.5" if "hangs" in detail else "60"
    played = await bubble("command", {"command": command, "idle_seconds": idle})
    assert detail in ended(played, kind)
    assert len(played.steps) == len(script.asked)


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [({"idle_seconds": "soon"}, "a number of seconds"), ({"env.a=b": "c"}, "no name of an environment variable")],
)
async def test_arguments_that_cannot_be_understood(bubble: Player, arguments, detail):
    assert detail in ended(await bubble("command", {"command": "true", **arguments}), AgentFailed)


async def test_a_flood_is_cut_and_ends_it(bubble: Player, script: "Script"):
    script.answers = [said("Hello")]
    played = await bubble("command", {"command": python("ask(user('Hi'))") + "; yes"})
    assert "printed more than" in ended(played, AgentFailed)
    assert len(played.kept["agent/stdout.txt"]) < 2_000_000
    assert len(played.steps) == 1


LOOPING = python("""
talk = [user("Hi")]
while True:
    answer = ask(*talk)
    print(answer, flush=True)
    talk += [{"role": "assistant", "content": "ok"}, user("more")]
""")


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"max_steps": 3}, Outcome.STEP_LIMIT),
        ({"max_tokens": 40}, Outcome.TOKEN_LIMIT),
    ],
)
async def test_an_agent_that_ignores_its_limits_is_ended(bubble: Player, script: "Script", limits, outcome):
    script.answers = [said("ok") for _ in range(4)]
    played = await bubble("command", {"command": LOOPING}, **limits)
    reached(played, outcome)
    assert len(played.steps) == len(script.asked) == 3
    assert f'"code": "{outcome}"' in played.kept["agent/stdout.txt"]


async def test_time_is_a_limit_even_where_nothing_is_asked(bubble: Player, script: "Script"):
    played = await bubble("command", {"command": "while :; do echo busy; sleep 0.1; done"}, max_seconds=1.5)
    reached(played, Outcome.TIME_LIMIT)


async def test_the_money_of_the_attempt_is_a_limit(bubble: Player, script: "Script"):
    refused = httpx.Response(402, json={"error": {"code": "cost_limit", "message": "all is spent"}})
    script.answers = [said("ok"), refused]
    played = await bubble("command", {"command": LOOPING})
    assert reached(played, Outcome.COST_LIMIT) == "all is spent"
    assert len(played.steps) == 1


@pytest.mark.parametrize(
    ("code", "kind"), [("context_length_exceeded", LimitReached), ("invalid_request", AgentFailed)]
)
async def test_what_the_gateway_does_not_take_is_the_agents_to_hear(bubble: Player, script: "Script", code, kind):
    script.answers = [said("ok"), httpx.Response(400, json={"error": {"code": code, "message": "too much"}})]
    command = python("ask(user('Hi'))\nsys.exit(ask(user('Hi'), user('x')))")
    played = await bubble("command", {"command": command})
    assert "too much" in ended(played, kind)
    assert [step.observations[0].error for step in played.steps if step.observations[:1]][-1] == "refused"
    assert len(played.steps) == 2


async def test_a_gateway_that_fails_is_our_failure(bubble: Player, script: "Script"):
    script.answers = [said("ok"), httpx.Response(502, json={"error": {"code": "upstream_status", "message": "gone"}})]
    played = await bubble("command", {"command": LOOPING})
    assert "gone" in ended(played, InfraFailure)
    assert len(played.steps) == 1


async def test_our_waits_are_not_on_the_agents_clock(bubble: Player, script: "Script"):
    answer = {"model": "m", "choices": [{"message": said("ok")}]}
    script.answers = [httpx.Response(200, json=answer, headers={"x-synthbench-waited-seconds": "500"}), said("ok")]
    played = await bubble("command", {"command": python("ask(user('Hi')); ask(user('Ho'))")}, max_seconds=60)
    ended(played, Submitted)
    assert played.steps[0].timing.waited_seconds >= 500
    assert played.world.clock.spent < 60


async def test_what_is_no_request_reaches_nobody(bubble: Player, script: "Script"):
    code = """
print(post("/v1/chat/completions", b"no json"))
print(post("/v1/embeddings", {}))
print(urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/models").read().decode())
"""
    played = await bubble("command", {"command": python(code)})
    ended(played, GaveUp)
    assert not script.asked
    assert "no JSON object" in played.kept["agent/stdout.txt"]
    assert "there are /v1/chat/completions" in played.kept["agent/stdout.txt"]
    assert '"id": "m"' in played.kept["agent/stdout.txt"]


async def test_what_nobody_asked_for_is_not_taken(bubble: Player, script: "Script"):
    script.answers = [said("ok")]
    code = """
print(post("/agent/files/run.traj.json", b"x" * 1000))
print(post("/agent/printed", b"no number"))
print(post("/agent/printed", b"9" * 400))
ask(user("Hi"))
"""
    played = await bubble("command", {"command": python(code)})
    assert "printed more than" in ended(played, AgentFailed)
    assert "there are /v1/chat/completions" in played.kept["agent/stdout.txt"]


async def test_an_attempt_that_is_cancelled_leaves_no_agent(bubble: Player, script: "Script"):
    script.answers = [said("ok")]
    mark = f"30{os.getpid()}.25"
    playing = asyncio.create_task(
        bubble("command", {"command": python("ask(user('Hi'))") + f"; sleep {mark} & sleep {mark}"})
    )
    while not any(mark in one for one in _running()):
        await asyncio.sleep(0.05)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert not any(mark in one for one in _running())


def _running() -> list[str]:
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [one for one in found if one.startswith("sleep ")]


async def test_setup_runs_first_and_must_succeed(bubble: Player, script: "Script"):
    script.answers = [said("ok")]
    command = (
        "cat prepared && "
        + python("ask(user('Hi'))")
        + ' && test "$(printf %s {instruction})" = "$(cat $SYNTHBENCH_INSTRUCTION_FILE)"'
    )
    played = await bubble("command", {"setup": "echo 1 >prepared", "command": command})
    ended(played, Submitted)
    played = await bubble("command", {"setup": "echo no; exit 2", "command": "true"})
    assert ended(played, AgentFailed) == "the agent's setup ended with 2: no"


async def test_a_process_that_shall_end_gives_the_attempt_back(bubble: Player, script: "Script", monkeypatch):
    script.answers = [said("ok"), said("ok")]
    monkeypatch.setattr("synthbench.executor.domain.clock.Clock.check", lambda clock: _drain() if clock.steps else None)
    played = await bubble("command", {"command": LOOPING})
    ended(played, Draining)
    assert len(played.steps) == 1


def _drain() -> None:
    raise Draining("the executor was shut down")
