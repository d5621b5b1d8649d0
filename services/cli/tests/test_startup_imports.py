"""What a command imports before it has done its work: each module more is paid at every call."""

import importlib
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from synthbench.cli.commands.trajectories import LOADED_LATER

LIBRARIES = {
    "aiohttp", "boto3", "botocore", "click", "docker", "faststream", "nats", "numpy", "opentelemetry",
    "prometheus_client", "psycopg", "pyarrow", "pydantic_settings", "starlette", "structlog", "uvicorn",
}  # fmt: skip
OURS = {"synthbench.contracts.events", "synthbench.contracts.records", "synthbench.tasks", "synthbench.sandbox"}
PROGRAM = """
import json, sys
from synthbench.cli.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""


class Services(BaseHTTPRequestHandler):
    """The scheduler and the collector of a stack without work."""

    def do_GET(self) -> None:
        body = json.dumps({"submissions": 0, "open": 0, "rollouts": {}} if self.path == "/v1/work" else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        pass


@pytest.fixture
def stack(tmp_path: Path) -> Generator[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as bus, HTTPServer(("127.0.0.1", 0), Services) as services:
        serving = threading.Thread(target=services.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        url = f"http://127.0.0.1:{services.server_port}"
        yield {
            "SYNTHBENCH_DATA_DIR": str(tmp_path / "data"), "SYNTHBENCH_ARTIFACTS_URL": f"file://{tmp_path}",
            "SYNTHBENCH_NATS_URL": f"nats://127.0.0.1:{bus.getsockname()[1]}",
            "SYNTHBENCH_SCHEDULER_URL": url, "SYNTHBENCH_COLLECTOR_URL": url,
        }  # fmt: skip
        services.shutdown()
        serving.join()


def imported_by(*command: str, stack: dict[str, str]) -> set[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")} | stack
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code in (0, None), done.stderr
    return set(modules)


@pytest.mark.parametrize("command", [["--version"], ["--help"]], ids=" ".join)
def test_version_and_help_import_neither_pydantic_nor_httpx_nor_a_command(command: list[str], stack: dict[str, str]):
    imported = imported_by(*command, stack=stack)
    assert imported & (LIBRARIES | OURS | {"httpx", "pydantic"}) == set()
    assert not [name for name in imported if name.startswith("synthbench.cli.commands.")]


@pytest.mark.parametrize(
    "command", [["status"], ["trajectories", "list"], ["trajectories", "list", "--json"]], ids=" ".join
)
def test_a_command_that_only_asks_the_services_imports_no_bus_and_no_events(command: list[str], stack: dict[str, str]):
    assert imported_by(*command, stack=stack) & (LIBRARIES | OURS) == set()


def test_a_command_that_is_loaded_later_is_summed_up_as_it_says_itself():
    for place, summary in LOADED_LATER.values():
        module, function = place.split(":")
        command = getattr(importlib.import_module(f"synthbench.cli.commands.{module}"), function)
        assert str(inspect.getdoc(command)).splitlines()[0] == summary
