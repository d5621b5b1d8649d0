"""Runs inside a sandbox: `start.py SITE`, SWE-agent on our instruction.

It believes that /root is its own and can be written; here it works on a copy of its source in which its folder stands
where /root stood.
"""

import os
import re
import runpy
import sys
from pathlib import Path

_ROOT = re.compile(rb"/root(?=[/\"'])")
_FOLDERS = ("sweagent", "tools", "config")


def copy(source: Path, target: Path, root: bytes) -> None:
    """Copy a file, and what it says of /root."""
    data = source.read_bytes()
    target.write_bytes(_ROOT.sub(root, data))
    target.chmod(source.stat().st_mode | 0o200)


def main(site: Path) -> None:
    """Copy SWE-agent's source, and run it on our instruction."""
    os.environ.pop("LD_LIBRARY_PATH", None)
    folder = Path(os.environ["SYNTHBENCH_AGENT_FOLDER"])
    for name in ("root", "trajectories"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "root" / ".bashrc").touch()
    own = folder / "swe-agent"
    for name in _FOLDERS:
        for top, _, files in os.walk(site.parent / "source" / name):
            target = own / Path(top).relative_to(site.parent / "source")
            target.mkdir(parents=True, exist_ok=True)
            for file in files:
                copy(Path(top, file), target / file, bytes(folder / "root"))
    (folder / "run.traj").symlink_to(folder / "out" / "task" / "task.traj")
    os.environ["SWE_AGENT_TRAJECTORY_DIR"] = str(folder / "trajectories")
    os.chdir(folder)
    sys.path[:0] = [str(own), str(site)]
    sys.argv = ["sweagent", "--config", str(folder / "run.yaml"), "--output_dir", str(folder / "out")]
    runpy.run_module("sweagent.run.run_single", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
