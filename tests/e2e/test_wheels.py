"""Wheels of every package, installed into a clean environment outside the tree, do the main job."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
ENV = {"UV_SYSTEM_CERTS": "true", **os.environ}


BUILD = """
import os, sys, tomllib
from hatchling.build import build_wheel
wheels, *packages = sys.argv[1:]
for package in packages:
    os.chdir(package)
    with open("pyproject.toml", "rb") as file:
        assert tomllib.load(file)["build-system"]["build-backend"] == "hatchling.build"
    build_wheel(wheels)
"""
"""What a front end does with each package, in one process for all."""


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    defaults: dict[str, Any] = {"env": ENV} | options
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        **defaults,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def test_the_product_installs_from_its_wheels(tmp_path: Path, data_folders: Path):
    wheels = tmp_path / "wheels"
    packages = [ROOT, *sorted(path.parent for path in ROOT.glob("libs/*/pyproject.toml")),
                *sorted(path.parent for path in ROOT.glob("services/*/pyproject.toml"))]  # fmt: skip
    assert len(packages) == 16
    run(sys.executable, "-c", BUILD, wheels, *packages)
    built = sorted(wheels.glob("*.whl"))
    assert len(built) == 16
    assert not any(
        "/src/" in name or name.endswith("synthbench/__init__.py") for wheel in built for name in names(wheel)
    )

    environment = tmp_path / "environment"
    run(UV, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin/python"
    # The third parties pinned, then `synth-bench` by its name, with nothing but our wheels to be found.
    run(UV, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", ROOT / "requirements.lock")
    run(
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--offline",
        "--no-index",
        "--find-links",
        wheels,
        "synth-bench",
    )
    place = run(python, "-c", "import synthbench.tasks; print(synthbench.tasks.__file__)", cwd=tmp_path).stdout
    assert str(environment) in place

    env = {"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    env["SYNTHBENCH_DATA_DIR"] = str(data_folders / f"wheels-{time.time_ns()}")
    env |= {name: os.environ[name] for name in ("LANG",) if name in os.environ}
    done = run(
        environment / "bin/synth-bench",
        "generate-trajectory",
        "--task",
        "simple-task-001",
        "--json",
        cwd=tmp_path,
        env=env,
    )
    row = json.loads(done.stdout)[0]
    assert (row["outcome"], row["reward"], row["verdict"]) == ("solved", 1.0, "accept")


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()
