"""Harbor's own models accept our ATIF files, of every kind of scaffold."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from bench.peers import HARBOR, Absent, install, python_3_12
from synthbench.contracts.formats.atif import AtifTrajectory
from synthbench.contracts.formats.atif_mapping import from_atif
from synthbench.contracts.trajectory import Trajectory

pytestmark = [pytest.mark.agents, pytest.mark.timeout(600)]

_READ = """
import json, sys
from harbor.models.trajectories import Trajectory
for path in sys.argv[1:]:
    read = Trajectory.model_validate_json(open(path).read())
    print(json.dumps(read.to_json_dict()))
"""
RUNS = [("native", "sim/expert"), ("native", "sim/novice"), ("oracle", ""), ("nop", "")]


@pytest.fixture(scope="module")
def harbor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python with Harbor's models."""
    try:
        interpreter = python_3_12()
    except Absent as error:
        pytest.skip(str(error))
    return install(tmp_path_factory.mktemp("harbor") / "env", interpreter, HARBOR, override="certifi") / "python"


@pytest.fixture(scope="module")
def documents(stack, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Trajectory]:
    folder, made = tmp_path_factory.mktemp("atif"), dict[Path, Trajectory]()
    for scaffold, model in RUNS:
        route = ["--model", model] if model else []
        (row,) = stack.json("generate-trajectory", "--task", "simple-task-001", "--scaffold", scaffold, *route)
        record = Trajectory.model_validate_json(Path(row["location"]).read_bytes())
        path = folder / f"{scaffold}-{model.replace('/', '-')}.json"
        wanted = ["trajectories", "export", str(record.trajectory_id), "--format", "atif", "--output", str(path)]
        said = stack.run(*wanted)
        assert "simulated" in said.stderr
        made[path] = record
    return made


def test_harbor_reads_what_we_write(harbor: Path, documents: dict[Path, Trajectory]):
    env = {"PATH": os.environ["PATH"], "HOME": str(harbor.parent)}
    command = [harbor, "-c", _READ, *documents]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert read == [json.loads(path.read_text()) for path in documents]


def test_what_was_written_is_the_record_but_for_the_raw_wire(documents: dict[Path, Trajectory]):
    for path, trajectory in documents.items():
        back = from_atif(AtifTrajectory.model_validate_json(path.read_bytes()))
        raw = {"base": "", "messages": "[]", "response": ""}
        steps = [
            one.model_copy(update={"model_call": one.model_call.model_copy(update=raw)}) if one.model_call else one
            for one in trajectory.steps
        ]
        assert back == trajectory.model_copy(update={"steps": steps})
