"""A verifier as people write it first: it trusts the sandbox in which the agent was.

The tests lie in the agent's workspace, the test runner runs there, with the agent's home, and the reward is what the
reward file says. Here only so that the tests of cheats prove something: what fails here and there would prove nothing.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from synthbench.tasks import TaskPackage


class NaiveVerifier:
    """One workspace with a home and a reward file, all in `folder`."""

    def __init__(self, package: TaskPackage, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self.home = folder / "home"
        self.reward_file = folder / "logs" / "reward.txt"
        for path in (self.workspace, self.home, self.reward_file.parent):
            path.mkdir(parents=True)
        for name, data in package.workspace_files().items():
            target = self.workspace / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": f"{self.home}/.local/bin:{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": ".",
            "CHEAT_ROOT": str(self.home),
            "REWARD_FILE": str(self.reward_file),
            "LANG": "C.UTF-8",
        }

    def play(self, script: str) -> None:
        """What the agent does."""
        subprocess.run(["bash", "-c", script], cwd=self.workspace, env=self.environment, timeout=30, check=True)

    def reward(self) -> float:
        """Run the tests, unless the reward is known already; believe the file."""
        if not self.reward_file.exists():
            command = ["bash", "-lc", f"export PATH='{self.environment['PATH']}'; python3 -m pytest -q tests"]
            done = subprocess.run(
                command, cwd=self.workspace, env=self.environment, timeout=60, check=False, capture_output=True
            )
            no_test_failed = done.returncode in (0, 5)
            self.reward_file.write_text("1" if no_test_failed else "0")
        time.sleep(0.3)
        return float(self.reward_file.read_text() or 0)


def end_leftovers(marker: str) -> None:
    """End the processes that a cheat left behind: those that name our folder."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and marker.encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), 9)
        except OSError:
            continue
