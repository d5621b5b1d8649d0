"""SWE-agent's bridge, against a stand-in for its process. The real one: tests/e2e/test_agents.py."""

import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from synthbench.contracts.records import Outcome
from synthbench.executor.agents.environments import ENVIRONMENTS
from synthbench.executor.agents.install import InstallFailed, install
from synthbench.executor.domain.endings import AgentFailed, GaveUp, InfraFailure, LimitReached, Submitted
from synthbench.executor.scaffolds.swe_agent.configuring import configuration
from synthbench.executor.scaffolds.swe_agent.ending import ending_of

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import calls
from .inside import ENGINES, Played, ended, player_of

AGENT = Path(__file__).with_name("swe_agent.py")
LOOK = calls(("bash", {"command": "ls"}), content="I look.")
SUBMIT = calls(("submit", {}))


@pytest.fixture
def agents() -> Iterator[Path]:
    """Where the stand-in is installed as if it were SWE-agent."""
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as top:
        root = Path(top)
        root.chmod(0o755)
        folder = root / "swe-agent"
        python = folder / "python" / "bin" / "python3"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\nexec python3 "$@"\n')
        python.chmod(0o755)
        place = folder / "source" / "sweagent" / "run"
        place.mkdir(parents=True)
        shutil.copy(AGENT, place / "run_single.py")
        ENVIRONMENTS["swe-agent"].seal(folder)
        yield root


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def play(agents: Path, make_world: "MakeWorld", engine: str) -> AsyncGenerator[Callable[..., Any]]:
    async with player_of(engine, make_world, agents_root=agents) as player:

        async def played(mode: str = "", arguments: dict[str, str] | None = None, **limits: Any) -> Played:
            (agents / "swe-agent" / "source" / "sweagent" / "run" / "mode").write_text(mode)
            return await player("swe-agent", arguments or {}, **limits)

        yield played


async def test_its_turns_become_steps_with_what_it_wrote_down(play, script: "Script"):
    script.answers = [LOOK, SUBMIT]
    played = await play()
    ended(played, Submitted)
    assert len(played.steps) == len(script.asked) == 2
    assert [observation.content for observation in played.steps[0].observations] == ["did bash"]
    assert [json.loads(step.native) for step in played.steps] == [[{"action": "bash"}], [{"action": "submit"}]]
    assert json.loads(played.kept["agent/run.traj"])["info"] == {"exit_status": "submitted"}
    assert script.asked[0]["messages"][0]["content"].endswith(f"The workspace is {played.world.sandbox.workdir}.")


@pytest.mark.parametrize("engine", ["bubblewrap"], indirect=True)
@pytest.mark.parametrize(
    ("mode", "kind", "detail"),
    [
        ("exit_format", AgentFailed, "exit_format"),
        ("exit_error", AgentFailed, "exit_error"),
        ("exit_forfeit", GaveUp, "exit_forfeit"),
        ("submitted (exit_cost)", LimitReached, "submitted (exit_cost)"),
        ("no traj", AgentFailed, "left no .traj"),
        ("crash", AgentFailed, "ended with 1: it broke"),
    ],
)
async def test_however_it_ends_it_has_a_name(play, script: "Script", mode, kind, detail):
    script.answers = [LOOK, SUBMIT]
    played = await play(mode)
    assert detail in ended(played, kind)
    assert len(played.steps) == len(script.asked)


@pytest.mark.parametrize("engine", ["bubblewrap"], indirect=True)
async def test_limits_and_refusals(play, script: "Script"):
    script.answers = [LOOK] * 3
    played = await play(max_steps=2)
    ended(played, LimitReached)
    assert len(played.steps) == 2
    script.answers = [httpx.Response(400, json={"error": {"code": "context_length_exceeded", "message": "too much"}})]
    played = await play()
    assert ended(played, LimitReached) == "too much"
    assert "mode: functions or text" in ended(await play("", {"mode": "song"}), AgentFailed)


async def test_what_is_not_installed_is_our_failure(make_world: "MakeWorld", tmp_path: Path):
    async with player_of("bubblewrap", make_world) as player:
        with pytest.raises(InfraFailure, match="scaffolds install swe-agent --checkout DIR"):
            await player("swe-agent", {})


def test_it_is_installed_from_a_checkout_only(tmp_path: Path):
    agent = ENVIRONMENTS["swe-agent"]
    with pytest.raises(InstallFailed, match="wants a checkout"):
        install(agent, tmp_path)
    with pytest.raises(InstallFailed, match="is no checkout of swe-agent: it has no sweagent"):
        install(agent, tmp_path, tmp_path)
    with pytest.raises(InstallFailed, match="wants no checkout"):
        install(ENVIRONMENTS["openhands"], tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        ("submitted", Submitted, Outcome.UNSOLVED),
        ("exit_cost", LimitReached, Outcome.STEP_LIMIT),
        ("submitted (exit_context)", LimitReached, Outcome.TOKEN_LIMIT),
        ("exit_total_execution_time", LimitReached, Outcome.TIME_LIMIT),
        ("exit_command", GaveUp, Outcome.GAVE_UP),
        ("submitted (exit_format)", AgentFailed, Outcome.AGENT_ERROR),
        ("exit_api", AgentFailed, Outcome.AGENT_ERROR),
        (None, AgentFailed, Outcome.AGENT_ERROR),
    ],
)
def test_an_exit_status_is_an_outcome(status, kind, outcome):
    ending = ending_of({"info": {"exit_status": status}})
    assert isinstance(ending, kind)
    assert ending.outcome is outcome


def test_in_text_it_offers_no_editor_and_says_how_to_answer():
    config = configuration("Mend it.", "/w", model="openai/m", mode="text", steps=9, command_seconds=60)
    assert config["agent"]["tools"]["parse_function"] == {"type": "thought_action"}
    assert [bundle["path"] for bundle in config["agent"]["tools"]["bundles"]] == ["tools/registry", "tools/submit"]
    assert "DISCUSSION" in config["agent"]["templates"]["system_template"]
