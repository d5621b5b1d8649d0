"""Libraries do not import what no process of ours uses, and it stays there for everybody else."""

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("library", "unused"), [("nats", "aiohttp"), ("structlog", "rich"), ("httpx", "click"), ("httpx", "rich")]
)
def test_a_library_is_imported_without_what_no_process_uses(library: str, unused: str):
    assert run(f"import sys, synthbench.chassis, {library}; print({unused!r} in sys.modules)") == "False"


@pytest.mark.parametrize(("library", "unused"), [("nats", "aiohttp"), ("structlog", "rich.console")])
def test_what_is_kept_from_a_library_can_be_imported_by_others(library: str, unused: str):
    assert run(f"import synthbench.chassis, {library}, {unused}; print({unused}.__name__)") == unused


def test_what_was_imported_before_is_still_there():
    code = "import sys, rich.console, synthbench.chassis; before = sys.modules['rich']; import structlog"
    assert run(f"{code}; print(sys.modules['rich'] is before)") == "True"


def test_the_modules_know_their_source():
    code = "import inspect, synthbench.chassis, structlog.dev as dev; print(len(inspect.getsource(dev)) > 1000)"
    assert run(code) == "True"
