"""Python environments with a plug-in package beside the product, for tests that install one."""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


@dataclass(frozen=True)
class PluginEnvironment:
    """An environment in which `synth-bench` finds a plug-in.

    Attributes:
        python: its interpreter.
        env: variables of its commands, which name a data folder of their own.
    """

    python: Path
    env: dict[str, str]

    def run(self, *words: str, timeout: float = 200, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of `synth-bench`; the stack that it starts runs in this environment, too."""
        done = subprocess.run(
            [self.python, "-m", "synthbench.cli", *words],
            env={**self.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str) -> Any:
        """Run a command that prints JSON, and return that."""
        return json.loads(self.run(*words, "--json").stdout)


def install_plugin(package: Path, folder: Path) -> Path:
    """Make an environment in `folder` that has ours below it and a package of its own; return its interpreter."""
    uv = Path(sys.executable).with_name("uv")
    environment = folder / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True, timeout=60)
    python = environment / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    below = environment / "lib" / version / "site-packages" / "below.pth"
    below.write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    copy = folder / "package"
    subprocess.run(["cp", "-r", package, copy], check=True, timeout=20)
    install = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", copy]
    subprocess.run(install, check=True, timeout=100)
    return python
