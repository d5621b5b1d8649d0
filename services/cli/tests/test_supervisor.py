"""A stack that ends by an error says so in one line, and leaves the rest in its log."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from synthbench.embedded.datadir import DataDir
from synthbench.embedded.loopback import loopback_http


def test_an_unexpected_error_is_one_line_for_the_command_and_a_traceback_in_the_log(tmp_path: Path):
    data = DataDir(tmp_path / "data")
    data.sub("nats").touch()  # where the bus makes its folder
    done = subprocess.run(
        [sys.executable, "-m", "synthbench.embedded.supervisor", "--data-dir", str(data.path), "--sandbox", "process"],
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


async def test_the_processes_of_a_stack_are_asked_although_the_certificates_are_gone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("certifi.where", lambda: "/nonexistent/cacert.pem")
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server, loopback_http(5) as http:
        response = await http.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/readyz")
    assert (response.status_code, response.text) == (200, "ready")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nready")
    await writer.drain()
    writer.close()
