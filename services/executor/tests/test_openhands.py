"""OpenHands' bridge, against a stand-in for its agent server. The real one: tests/e2e/test_agents.py."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from synthbench.contracts.records import Outcome
from synthbench.executor.agents.environments import ENVIRONMENTS
from synthbench.executor.domain.endings import AgentFailed, GaveUp, InfraFailure, LimitReached, Submitted
from synthbench.executor.scaffolds.openhands.ending import ending_of

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import calls
from .inside import ENGINES, Played, ended, player_of

SERVER = Path(__file__).with_name("agent_server.py")
LOOK = calls(("terminal", {"command": "ls"}), content="I look.")
FINISH = calls(("finish", {"message": "All of it."}))
FAST = {"start_seconds": "30", "idle_seconds": "20"}


@pytest.fixture
def agents() -> Iterator[Path]:
    """Where the stand-in is installed as if it were OpenHands."""
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as top:
        root = Path(top)
        root.chmod(0o755)
        folder = root / "openhands"
        python = folder / "python" / "bin" / "python3"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\nexec python3 "$@"\n')
        python.chmod(0o755)
        (folder / "site" / "openhands").mkdir(parents=True)
        shutil.copy(SERVER, folder / "site" / "openhands")
        ENVIRONMENTS["openhands"].seal(folder)
        yield root


@pytest.fixture(params=["bubblewrap"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def play(agents: Path, make_world: "MakeWorld", engine: str) -> AsyncGenerator[Callable[..., Any]]:
    async with player_of(engine, make_world, agents_root=agents) as player:

        async def played(mode: str = "", arguments: dict[str, str] | None = None, **limits: Any) -> Played:
            (agents / "openhands" / "site" / "openhands" / "mode").write_text(mode)
            return await player("openhands", {**FAST, **(arguments or {})}, **limits)

        yield played


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_conversation_becomes_steps_with_the_events_of_each(play, script: "Script"):
    script.answers = [LOOK, FINISH]
    played = await play()
    assert ended(played, Submitted) == "All of it."
    assert len(played.steps) == len(script.asked) == 2
    first, last = played.steps
    assert first.action.message == "I look."
    assert [observation.content for observation in first.observations] == ["did terminal"]
    kinds = [[event["kind"] for event in json.loads(step.native)] for step in (first, last)]
    assert kinds == [["SystemPromptEvent", "ActionEvent", "ObservationEvent"], ["ActionEvent", "ObservationEvent"]]
    kept = [json.loads(line) for line in played.kept["agent/events.jsonl"].splitlines()]
    assert kept == [event for step in (first, last) for event in json.loads(step.native)]
    assert "deleted" in played.kept["agent/server.log"]


async def test_it_is_told_the_instruction_the_place_and_no_key(play, script: "Script"):
    script.answers = [FINISH]
    played = await play()
    [part] = script.asked[0]["messages"][0]["content"]
    assert part["text"].startswith(played.world.package.instruction)
    assert part["text"].endswith("The workspace is /workspace.")
    assert script.asked[0]["model"] == "m"


@pytest.mark.parametrize(
    ("mode", "kind", "detail"),
    [
        ("exit", InfraFailure, "it ended with 1: a library is missing"),
        ("refuse", AgentFailed, "422"),
        ("die", AgentFailed, "is gone: it ended with 9: "),
        ("stuck", GaveUp, "stuck in a loop"),
        ("paused", AgentFailed, "hangs: no model call and no output"),
        ("error", AgentFailed, "OpenHands: error"),
    ],
)
async def test_however_it_ends_it_has_a_name(play, script: "Script", mode, kind, detail):
    script.answers = [LOOK, LOOK]
    played = await play(mode, {"idle_seconds": "2"} if mode == "paused" else None)
    assert detail in ended(played, kind)
    assert len(played.steps) == len(script.asked)


async def test_a_server_that_is_not_ready_in_time_is_our_failure(play):
    played = await play("silent", {"start_seconds": "1.5"})
    assert "nothing answered" in ended(played, InfraFailure)


async def test_an_answer_without_a_tool_call_is_no_submission(play, script: "Script"):
    script.answers = [LOOK, {"role": "assistant", "content": "I am done, I think."}]
    played = await play()
    assert "calls no tool" in ended(played, GaveUp)
    assert played.steps[-1].action.message == "I am done, I think."


async def test_its_own_limit_is_a_limit_of_steps(play, script: "Script"):
    script.answers = [LOOK]
    played = await play("iterations")
    assert "50 are done" in ended(played, LimitReached)
    assert played.ending.outcome is Outcome.STEP_LIMIT


async def test_our_limit_of_steps_ends_it(play, script: "Script"):
    script.answers = [LOOK] * 3
    played = await play(max_steps=2)
    ended(played, LimitReached)
    assert played.ending.outcome is Outcome.STEP_LIMIT
    assert len(played.steps) == len(script.asked) == 2


@pytest.mark.parametrize(
    ("code", "kind"), [("context_length_exceeded", LimitReached), ("invalid_request", AgentFailed)]
)
async def test_a_call_that_the_gateway_does_not_take(play, script: "Script", code, kind):
    script.answers = [LOOK, httpx.Response(400, json={"error": {"code": code, "message": "too much"}})]
    played = await play()
    assert "too much" in ended(played, kind)
    assert len(played.steps) == 2
    assert played.steps[-1].observations[0].error == "refused"


async def test_what_is_not_installed_is_our_failure(make_world: "MakeWorld", tmp_path: Path):
    async with player_of("bubblewrap", make_world, agents_root=tmp_path) as player:
        played = await player("openhands", {})
    assert "synth-bench scaffolds install openhands" in ended(played, InfraFailure)


async def test_a_bad_argument_is_told(play):
    played = await play("", {"start_seconds": "soon"})
    assert "start_seconds: a number of seconds" in ended(played, AgentFailed)


async def test_it_attaches_to_a_server_that_is_there(make_world: "MakeWorld", script: "Script", tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, SERVER, "--host", "127.0.0.1", "--port", str(port)])
    try:
        script.answers = [LOOK, FINISH]
        async with player_of("process", make_world, agents_root=tmp_path) as player:
            played = await player("openhands", {**FAST, "url": f"http://127.0.0.1:{port}"})
            nobody = await player("openhands", {"url": "http://127.0.0.1:1", "start_seconds": "0.5"})
        assert server.poll() is None
    finally:
        server.terminate()
        server.wait(10)
    ended(played, Submitted)
    assert len(played.steps) == 2
    assert "nothing answered at http://127.0.0.1:1" in ended(nobody, InfraFailure)


def test_an_end_without_a_status_is_the_agents_failure():
    assert "no status" in str(ending_of({}, []))
    assert "deleting" in str(ending_of({"status": "deleting"}, []))
