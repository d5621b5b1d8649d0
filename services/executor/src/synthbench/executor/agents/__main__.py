"""`python -m synthbench.executor.agents NAME FOLDER [CHECKOUT]`: what `scaffolds install` runs."""

import sys
from pathlib import Path

from synthbench.executor.agents.environments import ENVIRONMENTS
from synthbench.executor.agents.install import InstallFailed, install


def main(arguments: list[str]) -> int:
    """Install it, and say where; or say in one line why not."""
    name, folder, *checkout = arguments
    if name not in ENVIRONMENTS:
        sys.stderr.write(f"there is no agent {name!r} to install; there are {', '.join(ENVIRONMENTS)}\n")
        return 2
    try:
        sys.stdout.write(f"{install(ENVIRONMENTS[name], Path(folder), *map(Path, checkout))}\n")
    except InstallFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
