#!/usr/bin/env python3
"""Write requirements.lock and requirements-dev.lock from what the pyproject files declare.

Third-party dependencies only: our own packages are installed beside them, without dependencies.
Usage: .venv/bin/python scripts/lock.py [--upgrade]
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def declared() -> tuple[list[str], list[str]]:
    """Return the third-party requirements of all packages, and those of the dev group."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]
    runtime = {
        requirement
        for path in packages
        for requirement in tomllib.loads(path.read_text())["project"]["dependencies"]
        if not requirement.startswith("synth-bench-")
    }
    return sorted(runtime), sorted(root["dependency-groups"]["dev"])


def compile_lock(requirements: list[str], target: str, extra: list[str]) -> None:
    """Pin `requirements` with hashes for every supported platform and Python."""
    subprocess.run(
        [
            ROOT / ".venv/bin/uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes",
            "--python-version", "3.11", "--no-header", "--no-annotate", "--output-file", target, *extra, "-",
        ],
        input="\n".join(requirements).encode(),
        cwd=ROOT,
        check=True,
    )  # fmt: skip


def main() -> None:
    """Compile both locks; the dev lock holds the runtime's pins, too."""
    runtime, dev = declared()
    options = sys.argv[1:]
    compile_lock(runtime, "requirements.lock", options)
    compile_lock(runtime + dev, "requirements-dev.lock", ["--constraint", "requirements.lock", *options])


if __name__ == "__main__":
    main()
