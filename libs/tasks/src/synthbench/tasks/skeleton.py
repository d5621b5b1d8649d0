"""A new package that passes its own check; where task authors begin."""

import json
from pathlib import Path

from synthbench.tasks.errors import TaskError, problem
from synthbench.tasks.verify import DRIVER, driver_source

_TOML = """schema_version = "1.4"

[task]
name = {name}
description = "What is wrong, in one line."

[metadata]
category = "debugging"
difficulty = "easy"
tags = ["python"]
licence = "Apache-2.0"

[metadata.synthbench]
fail_to_pass = ["test_greeting.Greeting.test_names_the_person"]
pass_to_pass = ["test_greeting.Greeting.test_is_a_sentence"]
protected = ["tests"]
visible_check = "python3 -m unittest -q"

[agent]
timeout_sec = 300.0

[verifier]
timeout_sec = 60.0
"""

_BEFORE = 'def greet(name):\n    """Return a greeting for `name`."""\n    return "Hello, you."\n'
_AFTER = 'def greet(name):\n    """Return a greeting for `name`."""\n    return f"Hello, {name}."\n'

_FILES = {
    "instruction.md": (
        "# Greet by name\n\n`greeting.greet(name)` greets everybody alike. It must return `Hello, <name>.`\n"
    ),
    "environment/Dockerfile": "FROM python:3.12-slim\nWORKDIR /workspace\nCOPY workspace/ /workspace/\n",
    "environment/workspace/greeting.py": _BEFORE,
    "environment/workspace/tests/__init__.py": "",
    "environment/workspace/tests/test_visible.py": (
        "import unittest\n\nfrom greeting import greet\n\n\nclass Visible(unittest.TestCase):\n"
        '    def test_greets(self):\n        self.assertTrue(greet("Ada").startswith("Hello"))\n'
    ),
    "solution/solve.sh": "#!/bin/sh\ncp -R /solution/files/. .\n",
    "solution/files/greeting.py": _AFTER,
    "wrong/one-name/reason.txt": "Knows one name only.\n",
    "wrong/one-name/files/greeting.py": _AFTER.replace("{name}", "Ada"),
    "wrong/no-full-stop/reason.txt": "Forgets the full stop.\n",
    "wrong/no-full-stop/files/greeting.py": _AFTER.replace("{name}.", "{name}"),
    "tests/test_greeting.py": (
        "import unittest\n\nfrom synthbench_verify import workspace\n\n\nclass Greeting(unittest.TestCase):\n"
        "    def test_names_the_person(self):\n"
        '        self.assertEqual(workspace.call("greeting:greet", "Grace"), "Hello, Grace.")\n\n'
        "    def test_is_a_sentence(self):\n"
        '        self.assertTrue(workspace.call("greeting:greet", "Ada").startswith("Hello"))\n'
    ),
}

TEST_SH = """#!/bin/sh
# For plain Harbor. synth-bench itself runs the same tests from a second sandbox.
here=$(dirname "$0")
exec python3 -I "$here/synthbench_verify.py" --tests "$here" --workspace "$PWD" \\
    --reward "${REWARD_FILE:-/logs/verifier/reward.txt}"
"""


def init_package(folder: Path, name: str) -> list[Path]:
    """Write a small working package into a new folder; return its files.

    Raises:
        TaskError: the folder is not empty, or cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise TaskError(str(folder), [problem("", "is not empty; name a new folder")])
    full = name if "/" in name else f"my-tasks/{name}"
    files = {**_FILES, "task.toml": _TOML.format(name=json.dumps(full)), "tests/test.sh": TEST_SH}
    files[f"tests/{DRIVER}"] = driver_source().decode()  # plain Harbor brings the folder as it is
    written: list[Path] = []
    try:
        for path, text in sorted(files.items()):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            if path.endswith(".sh"):
                target.chmod(0o755)
            written.append(target)
    except OSError as error:
        raise TaskError(str(folder), [problem("", f"cannot be written: {error.strerror}")]) from error
    return written
