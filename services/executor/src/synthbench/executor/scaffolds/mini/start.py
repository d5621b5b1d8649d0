"""Runs inside the sandbox: the command `mini`, from the environment that its argument names, on our instruction."""

import os
import runpy
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
os.environ.pop("LD_LIBRARY_PATH", None)
folder = Path(os.environ["SYNTHBENCH_AGENT_FOLDER"])
task = (folder / "instruction.md").read_text(encoding="utf-8")
record = folder / "run.traj.json"
configs = ["-c", "mini.yaml", "-c", str(folder / "own.yaml")]
sys.argv = ["mini", *configs, "-y", "--exit-immediately", "-t", task, "-o", str(record)]
runpy.run_module("minisweagent.run.mini", run_name="__main__", alter_sys=True)
