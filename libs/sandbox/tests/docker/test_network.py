"""Sandboxes with a network: the proxy is their only way out, and each has its own."""

import asyncio
import hashlib
import http.server
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from synthbench.sandbox.docker import DockerEngine
from synthbench.sandbox.egress import ENVIRONMENT, PORT
from synthbench.sandbox.egress.sandbox_egress import REFUSED_MOST
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable, SpecRefused
from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.spec import SandboxSpec

pytestmark = pytest.mark.docker

BIG = os.urandom(1 << 20) * 20
GET = """
import sys, urllib.request as u
for url in sys.argv[1:]:
    sys.stdout.buffer.write(u.urlopen(url, timeout=20).read())
"""
KNOWN = "good.test=127.0.0.1,other.test=127.0.0.1"


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(BIG if self.path == "/big" else f"{self.headers['Host']} {self.path}".encode())

    def do_POST(self) -> None:
        self.answer(hashlib.sha256(self.body()).hexdigest().encode())

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def docker(root: Path) -> AsyncGenerator[DockerEngine]:
    made = DockerEngine(root / "docker", warm=0, network="allowlist", known_hosts=KNOWN)
    try:
        await made.probe()
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    yield made
    await made.aclose()


def spec(*hosts: str) -> SandboxSpec:
    return SandboxSpec(owner="t", network="allowlist", allowed_hosts=hosts)


async def get(sandbox: Sandbox, *urls: str) -> bytes:
    result = await sandbox.run(["python3", "-c", GET, *urls], timeout=60)
    return result.stdout + result.stderr


async def until(what: "asyncio.Future[object] | object", seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():  # type: ignore[operator] - any callable
            await asyncio.sleep(0.02)


async def test_an_allowed_host_is_reached_and_no_other(docker: DockerEngine, port: int):
    sandbox = await docker.create(spec(f"good.test:{port}"))
    assert await get(sandbox, f"http://good.test:{port}/a?b") == f"good.test:{port} /a?b".encode()
    assert b"403" in await get(sandbox, f"http://other.test:{port}/")
    assert b"403" in await get(sandbox, f"http://127.0.0.2:{port}/")
    await until(lambda: len(sandbox.refused) == 2)
    assert list(sandbox.refused) == [f"other.test:{port}", f"127.0.0.2:{port}"]


async def test_what_is_refused_is_told_once_and_not_without_end(docker: DockerEngine, port: int):
    sandbox = await docker.create(spec(f"good.test:{port}"))
    asks = (
        f"import socket\nfor n in [0, *range({REFUSED_MOST + 20})]:\n"
        f"    with socket.create_connection(('127.0.0.1', {PORT})) as one:\n"
        "        one.sendall(f'CONNECT h{n}.test:443 HTTP/1.1\\r\\nHost: h{n}.test\\r\\n\\r\\n'.encode())\n"
        "        assert b' 403 ' in one.recv(999)\n"
    )
    for again in range(2):  # the second container's way counts from the beginning
        said = await sandbox.run(["python3", "-c", asks], timeout=60)
        assert said.exit_code == 0, said.stderr_text
        assert sandbox.refused[:2] == ["h0.test:443", "h1.test:443"]
        assert len(sandbox.refused) == len(set(sandbox.refused)) == REFUSED_MOST
        if not again:
            await sandbox.launcher.init.kill()  # type: ignore[attr-defined] - the engine is Docker here
            await asyncio.sleep(0.5)


async def test_much_passes_both_ways(docker: DockerEngine, port: int):
    sandbox = await docker.create(spec(f"good.test:{port}"))
    url = f"http://good.test:{port}"
    said = await sandbox.run(["sh", "-c", f'python3 -c "$1" {url}/big | sha256sum', "sh", GET], timeout=60)
    assert said.stdout.split()[0].decode() == hashlib.sha256(BIG).hexdigest()
    chunked = (
        "import http.client as h, sys\n"
        f"c = h.HTTPConnection('127.0.0.1', {PORT})\n"
        "for _ in range(2):\n"
        f"    c.request('POST', '{url}/', body=iter([b'x' * 100_000] * 50), encode_chunked=True,"
        " headers={'Transfer-Encoding': 'chunked', 'Expect': '100-continue'})\n"
        "    sys.stdout.write(c.getresponse().read().decode())\n"
    )
    said = await sandbox.run(["python3", "-c", chunked], timeout=60)
    assert said.stdout_text == hashlib.sha256(b"x" * 5_000_000).hexdigest() * 2, said.stderr_text


async def test_each_has_its_own_way(docker: DockerEngine, port: int):
    first, second = await docker.create(spec(f"good.test:{port}")), await docker.create(spec(f"other.test:{port}"))
    without = await docker.create(SandboxSpec(owner="t", env=ENVIRONMENT))
    assert b"403" in await get(second, f"http://good.test:{port}/")
    assert b"refused" in await get(without, f"http://good.test:{port}/")
    assert await get(first, f"http://good.test:{port}/") == f"good.test:{port} /".encode()


async def test_it_has_no_name_server_and_no_route(docker: DockerEngine):
    sandbox = await docker.create(spec("example.org"))
    code = (
        "import socket\n"
        "for ask in (lambda: socket.getaddrinfo('example.org', 80),"
        " lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.53', 53)),"
        " lambda: socket.create_connection(('192.0.2.1', 443), 2)):\n"
        "    try: ask(); print('reached')\n"
        "    except OSError as error: print('no')\n"
    )
    assert (await sandbox.run(["python3", "-c", code], timeout=60)).stdout_text.split() == ["no"] * 3


async def test_many_connections_wait_and_the_others_do_not(docker: DockerEngine, port: int):
    greedy, other = await docker.create(spec(f"good.test:{port}")), await docker.create(spec(f"good.test:{port}"))
    hold = (
        "import resource, socket, sys, time\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\nheld = []\n"
        "for _ in range(1000):\n"
        "    one = socket.socket(); one.setblocking(False)\n"
        f"    one.connect_ex(('127.0.0.1', {PORT}))\n"
        "    held.append(one)\n"
        "print('held', flush=True); time.sleep(3)\n"
    )
    holding = asyncio.create_task(greedy.run(["python3", "-c", hold], timeout=20))
    await asyncio.sleep(1)
    assert await get(other, f"http://good.test:{port}/") == f"good.test:{port} /".encode()
    assert (await holding).stdout == b"held\n"
    assert await get(greedy, f"http://good.test:{port}/") == f"good.test:{port} /".encode()


async def test_a_container_that_ended_gets_its_way_again(docker: DockerEngine, port: int):
    sandbox = await docker.create(spec(f"good.test:{port}"))
    await sandbox.launcher.init.kill()  # type: ignore[attr-defined] - the engine is Docker here
    await asyncio.sleep(0.5)
    assert await get(sandbox, f"http://good.test:{port}/") == f"good.test:{port} /".encode()


async def test_a_proxy_that_died_is_started_again(docker: DockerEngine, port: int):
    sandbox = await docker.create(spec(f"good.test:{port}"))
    process = docker._egress._process
    assert process
    process.kill()
    await asyncio.sleep(2.5)
    assert await get(sandbox, f"http://good.test:{port}/") == f"good.test:{port} /".encode()


async def test_what_the_operator_does_not_allow_is_refused(docker: DockerEngine, root: Path):
    with pytest.raises(SpecRefused, match="SYNTHBENCH_ALLOW_NETWORK=public"):
        await docker.create(SandboxSpec(owner="t", network="public"))
    for name in ("bubblewrap", "process"):
        other = load_engine(name, root=root)
        with pytest.raises(SpecRefused, match="network"):
            await other.create(spec("example.org"))
        await other.aclose()


async def test_nothing_stays(docker: DockerEngine, port: int):
    sandbox = await docker.create(spec(f"good.test:{port}"))
    await get(sandbox, f"http://good.test:{port}/")
    process = docker._egress._process
    assert process
    await sandbox.close()
    assert docker._egress._ways == {}
    await docker.aclose()
    assert not Path(f"/proc/{process.pid}").exists()
