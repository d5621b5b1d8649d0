"""The real mini-swe-agent, from its own environment, inside a real sandbox: its turns, its own record, its exits."""

import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from synthbench.contracts.records import Outcome
from synthbench.executor.domain.endings import AgentFailed, InfraFailure, LimitReached, Submitted
from synthbench.executor.scaffold import load_scaffold
from synthbench.executor.settings import ExecutorSettings

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import calls
from .inside import ENGINES, Player, ended, player_of

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]

MINI = "mini-swe-agent"
DONE = calls(("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"}), content="That is all.")


def completion(message: dict[str, Any], finish: str = "tool_calls") -> httpx.Response:
    """As LiteLLM wants it."""
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return httpx.Response(200, json={**body, "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}})


@pytest.fixture(scope="module")
def agents() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="synthbench-agents-") as folder:
        Path(folder).chmod(0o755)
        command = [sys.executable, "-m", "synthbench.executor.agents", MINI, folder]
        subprocess.run(command, check=True, timeout=280)
        yield Path(folder)


@pytest.fixture(params=ENGINES)
async def play(request: pytest.FixtureRequest, make_world: "MakeWorld", agents: Path) -> AsyncGenerator[Player]:
    async with player_of(request.param, make_world, agents_root=agents) as player:
        yield player


@pytest.fixture
async def bubble(make_world: "MakeWorld", agents: Path) -> AsyncGenerator[Player]:
    async with player_of("bubblewrap", make_world, agents_root=agents) as player:
        yield player


async def test_its_turns_are_steps_with_what_it_wrote_down_itself(play: Player, script: "Script"):
    script.answers = [
        completion(calls(("bash", {"command": "echo hello >new.txt; false"}), content="I write.")),
        completion(calls(("bash", {"command": "cat new.txt"}), content="I look.")),
        completion(DONE),
    ]
    played = await play(MINI, {})
    ended(played, Submitted)
    first, second, last = played.steps
    assert len(script.asked) == 3
    assert (first.observations[0].exit_code, second.state.exit_code) == (1, 0)
    assert [change.path for change in first.state.changed] == ["new.txt"]
    assert json.loads(second.observations[0].content)["output"] == "hello\n"
    assert last.action.message == "That is all."
    record = json.loads(played.kept["agent/run.traj.json"])
    assert record["info"]["exit_status"] == "Submitted"
    natives = [message for step in played.steps for message in json.loads(step.native)]
    assert natives == record["messages"]
    assert [message["role"] for message in json.loads(second.native)] == ["assistant", "tool"]


@pytest.mark.parametrize(
    ("answers", "kind", "detail"),
    [
        ([completion({"role": "assistant", "content": "Hm."}, "stop")] * 3, AgentFailed, "RepeatedFormatError"),
        ([completion(calls(("no_tool", {})))] * 3, AgentFailed, "RepeatedFormatError"),
        ([completion(calls(("bash", "no json")))] * 2 + [completion(DONE)], Submitted, ""),
        ([httpx.Response(400, json={"error": {"code": "invalid_request", "message": "odd"}})], AgentFailed, "odd"),
        ([httpx.Response(403, json={"error": {"code": "attempt_closed", "message": "shut"}})], InfraFailure, "shut"),
    ],
)
async def test_its_exits(bubble: Player, script: "Script", answers, kind, detail):
    script.answers = list(answers)
    played = await bubble(MINI, {})
    assert detail in ended(played, kind)
    assert len(played.steps) == len(script.asked) - (kind is InfraFailure)


async def test_limits_are_its_own_or_ours(bubble: Player, script: "Script"):
    answers = [completion(calls(("bash", {"command": "ls"}))) for _ in range(4)]
    script.answers = list(answers)
    played = await bubble(MINI, {"step_limit": "2"})
    assert "LimitsExceeded" in ended(played, LimitReached)
    assert len(played.steps) == 2
    script.answers = list(answers)
    played = await bubble(MINI, {}, max_steps=3)
    ended(played, LimitReached)
    assert isinstance(played.ending, LimitReached)
    assert played.ending.outcome is Outcome.STEP_LIMIT
    assert len(played.steps) == 3
    assert "agent/run.traj.json" in played.kept


async def test_where_it_is_not_installed_that_is_said(tmp_path: Path):
    scaffold = load_scaffold(MINI)
    with pytest.raises(InfraFailure, match="synth-bench scaffolds install mini-swe-agent"):
        scaffold.mounts(ExecutorSettings(agents_root=tmp_path))  # type: ignore[attr-defined] - not of every scaffold
