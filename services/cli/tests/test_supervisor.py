"""A stack that ends by an error says so in one line, and leaves the rest in its log."""

import json
import subprocess
import sys
from pathlib import Path

from synthbench.cli.embedded.datadir import DataDir


def test_an_unexpected_error_is_one_line_for_the_command_and_a_traceback_in_the_log(tmp_path: Path):
    data = DataDir(tmp_path / "data")
    data.sub("nats").touch()  # where the bus makes its folder
    done = subprocess.run(
        [sys.executable, "-m", "synthbench.cli.supervisor", "--data-dir", str(data.path), "--sandbox", "process"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    failure = (data.sub("run") / "failure").read_text()
    assert failure.startswith("unexpected FileExistsError: [Errno 17] File exists: ")
    assert failure.endswith(f"the traceback is in {data.logs / 'supervisor.log'}")
    assert "\n" not in failure
    (entry,) = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "error"]
    assert "Traceback" in entry["exception"]
    assert "in _start_nats" in entry["exception"]
