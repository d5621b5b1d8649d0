"""A stack that is not there: one line within seconds, which names the variable and the cure."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from synthbench.client.bus import connect_bus
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.client.services_api import problem_of
from synthbench.client.stack_client import connect
from synthbench.contracts.registry import Service
from synthbench.embedded.children import free_port
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.stack import remote_endpoints

SECONDS = 5.0


def endpoints(url: str, **changes: str) -> Endpoints:
    dead = f"http://127.0.0.1:{free_port()}"
    given = {"scheduler_url": dead, "collector_url": dead, "gateway_admin_url": dead, "artifacts_url": "file:///tmp"}
    return Endpoints.model_validate({**given, "nats_url": url, "elsewhere": True, **changes})


@contextmanager
def silent() -> Generator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def refusal(where: Endpoints) -> str:
    began = time.monotonic()
    with pytest.raises(CliError) as refused:
        await connect_bus(where, where.nats_user, where.nats_password, Service.CLIENT)
    assert time.monotonic() - began < SECONDS
    return str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "nats://127.0.0.1:{port}",
        "127.0.0.1:{port}",
        "nats://u:p@127.0.0.1:{port},nats://localhost:{port}",
        "nats://x:no",
    ],
)
async def test_a_dead_bus_is_one_line_with_the_variable_and_the_cure(url: str):
    told = await refusal(endpoints(url.format(port=free_port())))
    assert "SYNTHBENCH_NATS_URL names" in told
    assert 'eval "$(synth-bench env --unset)"' in told
    assert "\n" not in told
    assert "u:p@" not in told


async def test_a_port_that_takes_connections_and_says_nothing_is_no_bus():
    with silent() as port:
        assert "which SYNTHBENCH_NATS_URL names" in await refusal(endpoints(f"nats://127.0.0.1:{port}"))


async def test_a_bus_that_refuses_the_user_is_told_by_its_variables(tmp_path: Path):
    server = EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log", 'authorization { user: "a", password: "b" }')
    await server.start()
    try:
        where = endpoints(server.url, nats_user="client").model_copy(update={"nats_password": SecretStr("wrong")})
        told = await refusal(where)
    finally:
        await server.stop()
    assert "set SYNTHBENCH_NATS_USER and SYNTHBENCH_NATS_PASSWORD" in told


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("scheduler", "SYNTHBENCH_SCHEDULER_URL"),
        ("collector", "SYNTHBENCH_COLLECTOR_URL"),
        ("llm_gateway", "SYNTHBENCH_GATEWAY_ADMIN_URL"),
    ],
)
@pytest.mark.parametrize("kind", ["refuses", "is silent", "is no URL"])
async def test_a_dead_service_is_one_line_with_its_variable(
    nats_server: EmbeddedNats, service: str, variable: str, kind: str
):
    with silent() as port:
        url = {"refuses": f"http://127.0.0.1:{free_port()}", "is silent": f"http://127.0.0.1:{port}"}.get(
            kind, "nowhere"
        )
        where = endpoints(
            nats_server.url, **dict.fromkeys(("scheduler_url", "collector_url", "gateway_admin_url"), url)
        )
        async with connect(where) as client:
            for ask in (client.find("/v1/x", service=service), anext(client.lines("/v1/x", service=service))):
                began = time.monotonic()
                with pytest.raises(CliError) as refused:
                    await ask
                assert time.monotonic() - began < SECONDS
                assert f"which {variable} names" in str(refused.value)
                assert "\n" not in str(refused.value)


def test_the_environment_that_names_half_a_stack_names_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYNTHBENCH_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("SYNTHBENCH_COLLECTOR_URL", "http://127.0.0.1:1")
    with pytest.raises(CliError, match=r"SYNTHBENCH_SCHEDULER_URL, SYNTHBENCH_ARTIFACTS_URL is missing; .*env --unset"):
        remote_endpoints()


COMMANDS = [
    ["status"],
    ["trajectories", "list"],
    ["trajectories", "show", "0196f000"],
    ["generate-trajectory", "--task", "simple-task-001"],
    ["stats"],
    ["cost"],
    ["campaigns", "list"],
    ["tasks", "quarantined"],
    ["dead", "list"],
    ["audit"],
    ["storage"],
    ["rebuild"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_tells_of_a_dead_stack_at_once(tmp_path: Path, command: list[str]):
    dead = f"127.0.0.1:{free_port()}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")} | {
        "SYNTHBENCH_DATA_DIR": str(tmp_path / "d"), "SYNTHBENCH_NATS_URL": f"nats://{dead}",
        "SYNTHBENCH_SCHEDULER_URL": f"http://{dead}", "SYNTHBENCH_COLLECTOR_URL": f"http://{dead}",
        "SYNTHBENCH_ARTIFACTS_URL": f"file://{tmp_path}", "SYNTHBENCH_POSTGRES_DSN": f"postgresql://{dead}/x",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "synthbench.cli", *command],
        env=env, capture_output=True, text=True, timeout=4 * SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "SYNTHBENCH_NATS_URL" in done.stderr or "SYNTHBENCH_POSTGRES_DSN" in done.stderr
    assert "synth-bench env --unset" in done.stderr


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (422, '{"detail": [{"loc": ["path", "trajectory_id"], "msg": "no UUID"}]}', "trajectory_id: no UUID"),
        (422, '{"detail": [{"loc": ["query", "limit"], "msg": "a"}, {"msg": "b"}]}', "limit: a; b"),
        (400, '{"detail": "filter:\\n what"}', "filter: what"),
        (502, "<html><body>Bad Gateway</body></html>", "502 Bad Gateway"),
        (500, '{"detail": {"code": 7}}', "500 Internal Server Error"),
        (500, "[1, 2", "500 Internal Server Error"),
        (500, "", "500 Internal Server Error"),
    ],
)
def test_what_an_api_refuses_is_a_line_without_json(status: int, body: str, told: str):
    assert problem_of(httpx.Response(status, text=body), body) == told


async def test_what_an_api_refuses_is_told_by_the_command(nats_server: EmbeddedNats):
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/livez" else 422)
            self.end_headers()
            self.wfile.write(b'{"detail": [{"loc": ["path", "id"], "msg": "Input should be a valid UUID"}]}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        where = endpoints(nats_server.url, collector_url=f"http://127.0.0.1:{server.server_port}")
        async with connect(where) as client:
            with pytest.raises(CliError) as refused:
                await client.find("/v1/trajectories/x")
    finally:
        server.shutdown()
        server.server_close()
    assert str(refused.value) == "the collector refused /v1/trajectories/x: id: Input should be a valid UUID"
