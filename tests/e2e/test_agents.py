"""The real agents in a real stack: each solves tasks and fails one visibly, and every model call is in the record.

Without FULL=1 these are the scaffolds that need no install. `make test-agents` installs the others, lets Harbor's own
models read what is exported of all of them, and runs SWE-agent where a checkout is named.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers import HARBOR, Absent, install, python_3_12
from synthbench.datasets.formats.atif import AtifTrajectory
from synthbench.datasets.formats.atif_mapping import from_atif

from .agents import AGENTS, Agent, Run, counted, generate, generate_all
from .conftest import KEY, upstream

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(900)]

FULL = os.environ.get("FULL") == "1"
TASKS = ["simple-task-001", "stock-report-002", "log-analyzer-003"] if FULL else ["simple-task-001"]
EXAMPLE = (Path(__file__).parents[2] / "docs/examples/agents/loop.py").read_text()
OWN = ["--scaffold-arg", f"env.AGENT={EXAMPLE}", "--scaffold-arg", 'command=exec python3 -c "$AGENT"']
_READ = """
import json, sys
from harbor.models.trajectories import Trajectory
for path in sys.argv[1:]:
    read = Trajectory.model_validate_json(open(path).read())
    print(json.dumps(read.to_json_dict()))
"""


def only(name: str) -> pytest.MarkDecorator:
    """A test of one agent alone."""
    return pytest.mark.parametrize("agent", [one for one in AGENTS if one.name == name], indirect=True, ids=[name])


@pytest.fixture(scope="module", params=AGENTS, ids=lambda one: one.name)
def agent(request: pytest.FixtureRequest, stack) -> Agent:
    """Each that can be had here, installed."""
    if reason := request.param.absent():
        pytest.skip(reason)
    request.param.install(stack)
    return request.param


@pytest.fixture(scope="module")
def records() -> dict[str, Run]:
    """One run of each scaffold that the tests had, for those who look at what was written."""
    return {}


@pytest.mark.agents
def test_it_solves_tasks_and_fails_one_visibly(stack, agent: Agent, records: dict[str, Run]):
    before = counted(stack)
    wanted = [*((agent.name, task, "sim/expert") for task in TASKS), (agent.name, TASKS[0], "sim/quitter")]
    *solved, failed = runs = generate_all(stack, wanted)
    for run in solved:
        assert (run.row["outcome"], run.row["reward"], run.row["verdict"]) == ("solved", 1.0, "accept"), run.row
        steps = run.trajectory.steps
        assert len(run.calls) == len(set(run.calls)) == len(steps) == run.trajectory.usage.calls >= 4
        assert all(json.loads(step.native) for step in steps)
        assert {call.name for step in steps for call in step.action.tool_calls} >= agent.tools
        assert {kept.path for kept in run.trajectory.kept} >= agent.kept
    outcome, detail = agent.failure
    assert failed.row["outcome"] == outcome
    assert detail in failed.trajectory.detail
    asked = {call for run in runs for call in run.calls}
    assert len(asked) == sum(len(run.calls) for run in runs)
    deadline = time.monotonic() + 30
    while (sent := counted(stack) - before) < len(asked) and time.monotonic() < deadline:
        time.sleep(0.1)  # a trajectory does not wait for what its calls cost
    assert sent == len(asked)
    records[agent.name] = solved[0]


def test_the_examples_agent_solves_a_task_as_well(stack, records: dict[str, Run]):
    run = records["command"] = generate(stack, "command", TASKS[0], "sim/expert", *OWN)
    assert (run.row["outcome"], run.row["reward"], run.row["verdict"]) == ("solved", 1.0, "accept")
    assert len(run.calls) == len(set(run.calls)) == len(run.trajectory.steps)


def test_what_cannot_be_done_is_told_in_one_line(stack):
    done = stack.run("scaffolds", "install", "no-such-agent", check=False)
    assert done.returncode == 2
    assert "there are mini-swe-agent" in done.stderr
    assert "Traceback" not in done.stderr
    done = stack.run("generate-trajectory", "--task", TASKS[0], "--scaffold-arg", "nothing", check=False)
    assert "wants NAME=VALUE" in done.stderr


@pytest.fixture(scope="module")
def documents(stack, records: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Run]:
    """An ATIF file of each scaffold's; what an earlier test has run is not run again."""
    present = [one for one in AGENTS if FULL and one.name not in records and not one.absent()]
    for one in present:
        one.install(stack)
    if "command" not in records:
        records["command"] = generate(stack, "command", TASKS[0], "sim/expert", *OWN)
    own = [("native", "sim/expert"), ("native", "sim/novice"), ("oracle", ""), ("nop", "")]
    own += [(one.name, "sim/expert") for one in present]
    wanted = [(scaffold, TASKS[0], model) for scaffold, model in own]
    folder, made = tmp_path_factory.mktemp("atif"), dict[Path, Run]()
    for number, run in enumerate([*records.values(), *generate_all(stack, wanted)]):
        path = folder / f"{number}-{run.trajectory.rollout.scaffold}.json"
        trajectory = str(run.trajectory.trajectory_id)
        said = stack.run("trajectories", "export", trajectory, "--format", "atif", "--output", str(path))
        assert "simulated" in said.stderr
        made[path] = run
    return made


@pytest.fixture(scope="module")
def harbor() -> Iterator[Path]:
    """Python with Harbor's models."""
    try:
        interpreter = python_3_12()
    except Absent as error:
        pytest.skip(str(error))
    with tempfile.TemporaryDirectory(prefix="synthbench-harbor-") as folder:
        yield install(Path(folder, "env"), interpreter, HARBOR, override="certifi") / "python"


@pytest.mark.agents
def test_harbors_own_models_accept_every_scaffolds_file(harbor: Path, documents: dict[Path, Run]):
    env = {"PATH": os.environ["PATH"], "HOME": str(harbor.parent)}
    command = [harbor, "-c", _READ, *documents]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert read == [json.loads(path.read_text()) for path in documents]
    scaffolds = {run.trajectory.rollout.scaffold for run in documents.values()}
    assert scaffolds >= {"native", "command", "oracle", "nop", *(one.name for one in AGENTS if not one.absent())}


def test_the_file_is_the_record_but_for_what_docs_say_is_lost(documents: dict[Path, Run]):
    raw = {"response": ""}
    for path, run in documents.items():
        back = from_atif(AtifTrajectory.model_validate_json(path.read_bytes()))
        steps = [
            one.model_copy(
                update={"native": "", "model_call": one.model_call and one.model_call.model_copy(update=raw)}
            )
            for one in run.trajectory.steps
        ]
        assert back == run.trajectory.model_copy(update={"steps": steps})


@pytest.mark.agents
def test_wrong_work_is_unsolved(stack, agent: Agent):
    run = generate(stack, agent.name, TASKS[0], "sim/cheater")
    assert (run.row["outcome"], run.row["reward"]) == ("unsolved", 0.0)


@pytest.mark.agents
@only("swe-agent")
def test_it_solves_by_text(stack, agent: Agent):
    run = generate(stack, agent.name, TASKS[0], "sim/expert", "--scaffold-arg", "mode=text")
    assert (run.row["outcome"], run.row["reward"]) == ("solved", 1.0), run.trajectory.detail
    assert not any(step.action.tool_calls for step in run.trajectory.steps)


@pytest.mark.agents
@only("openhands")
@pytest.mark.parametrize(("mode", "detail"), [("nonsense", "calls no tool"), ("bad_json", "stuck in a loop")])
def test_a_model_that_makes_no_sense(
    stack, agent: Agent, data_folders: Path, make_stack, tmp_path: Path, mode: str, detail: str
):
    root = {"SYNTHBENCH_AGENTS_ROOT": stack.env["SYNTHBENCH_AGENTS_ROOT"]}
    made = make_stack(data_folders / f"openhands-{mode}", MY_KEY=KEY, **root)
    try:
        with upstream(tmp_path, mode) as url:
            run = generate(made, agent.name, TASKS[0], "gpt-4o-mini", "--base-url", url, "--api-key-env", "MY_KEY")
    finally:
        made.down()
    assert run.row["outcome"] == "gave_up"
    assert detail in run.trajectory.detail
    assert run.trajectory.usage.calls == len(run.trajectory.steps)
