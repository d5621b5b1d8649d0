"""Every attack on the egress proxy wins against one as it is written in an hour, and loses against ours."""

import asyncio
import contextlib
import http.server
import importlib.util
import json
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from synthbench.sandbox.docker import DockerEngine
from synthbench.sandbox.egress import PORT
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.spec import SandboxSpec

FRONT, PLAIN = "127.77.0.1", "127.77.0.2"  # of this test alone, so that port 443 is free there
HERE = {"front.test": FRONT, "plain.test": PLAIN}
NAMES = dict.fromkeys(("good.test", "other.test", "hidden.test", "good.test.other.test", "localhost"), "127.0.0.1")
pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="port 443 of the loopback is root's"),
]


def beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"security_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


attacks = beside("egress")


def origin(word: str, *, vhosts: bool) -> type[http.server.BaseHTTPRequestHandler]:
    """A server that tells a word: to all, or to those that ask for /vhost of hidden.test."""

    class Origin(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hidden = "hidden.test" in self.headers.get("Host", "") and self.path.endswith("/vhost")
            body = word.encode() if hidden or not vhosts else b"nothing"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))  # it knows no chunks, as some do not
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
            """Say nothing."""

    return Origin


@contextlib.contextmanager
def serving(
    address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext | None = None
) -> Generator[int]:
    server = http.server.ThreadingHTTPServer(address, handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that break off are what this is about
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def certificate(folder: Path) -> ssl.SSLContext:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=front.test", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    word = secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(serving(("127.0.0.1", 0), origin(word, vhosts=True)))
        secret = stack.enter_context(serving(("127.0.0.1", 0), origin(word, vhosts=False)))
        context = certificate(tmp_path_factory.mktemp("tls"))
        stack.enter_context(serving((FRONT, 443), origin(word, vhosts=True), context))
        stack.enter_context(serving((PLAIN, 443), origin(word, vhosts=True)))
        yield {"good": good, "secret": secret, "word": word, "proxy": PORT}


class Naive:
    """Forwards what it is asked for, as it stands; it looks at the host of the first line alone, and allows all."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n")
            method, target, _ = head.decode().split(" ", 2)
            url = urlsplit(f"//{target}" if method == "CONNECT" else target.replace("\\", "/"))
            host = (NAMES | HERE).get(str(url.hostname), str(url.hostname))
            upstream = await asyncio.open_connection("127.0.0.1" if host.startswith("0") else host, url.port)
            if method == "CONNECT":
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                upstream[1].write(head)
            await asyncio.gather(self.carry(reader, upstream[1]), self.carry(upstream[0], writer))
        writer.close()

    @staticmethod
    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()


async def naively(script: list[str], targets: dict[str, object]) -> str:
    server = await asyncio.start_server(Naive().serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        argv = [sys.executable, "-I", *script, json.dumps({**targets, "proxy": port})]
        process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    return said.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(targets: dict[str, object]) -> AsyncGenerator[Sandbox]:
    known = f"good.test=127.0.0.1,other.test=127.0.0.1,hidden.test=127.0.0.1,front.test={FRONT},plain.test={PLAIN}"
    hosts = (f"good.test:{targets['good']}", f"localhost:{targets['secret']}", "front.test:443", "plain.test:443")
    with tempfile.TemporaryDirectory(prefix="synthbench-security-") as folder:
        Path(folder).chmod(0o711)
        engine = DockerEngine(Path(folder, "sandboxes"), warm=0, network="allowlist", known_hosts=known)
        try:
            await engine.probe()
        except EngineUnavailable as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))
        spec = SandboxSpec(owner="attacker", network="allowlist", allowed_hosts=hosts)
        yield await engine.create(spec)
        await engine.aclose()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("attack", attacks.ALL, ids=lambda attack: attack.name.replace(" ", "-"))
@pytest.mark.asyncio(loop_scope="module")
async def test_it_wins_against_a_naive_proxy_and_loses_against_ours(
    attack, sandbox: Sandbox, targets: dict[str, object]
):
    script = ["-c", attacks.PRELUDE + textwrap.dedent(attack.script).strip() + "\n"]
    said = await naively(script, targets)
    assert "WON" in said, f"it does not even win against a naive proxy: {said}"
    result = await sandbox.run(["python3", "-I", *script, json.dumps(targets)], timeout=30)
    assert result.stdout.startswith(b"lost"), result.stdout_text + result.stderr_text


@pytest.mark.asyncio(loop_scope="module")
async def test_around_the_proxy_there_is_nothing(sandbox: Sandbox, targets: dict[str, object]):
    """Straight to what the host serves on its loopback and elsewhere; `attacks.NETWORK` shows that it wins outside."""
    code = (
        "import socket, sys\n"
        "for host in ('127.0.0.1', '127.77.0.1', '127.77.0.2', '172.17.0.1', '169.254.169.254', '::1'):\n"
        "    for port in map(int, sys.argv[1:]):\n"
        "        try: socket.create_connection((host, port), 2); print('WON', host, port)\n"
        "        except OSError: pass\n"
        "print('over')\n"
    )
    ports = [str(targets["good"]), str(targets["secret"]), "443", "80", "53"]
    assert (await sandbox.run(["python3", "-c", code, *ports], timeout=60)).stdout == b"over\n"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_allowed_works_through_the_same_way(sandbox: Sandbox, targets: dict[str, object]):
    context = "c = ssl.create_default_context(); c.check_hostname, c.verify_mode = False, ssl.CERT_NONE"
    code = (
        f"import ssl, urllib.request as u; {context}; "
        f"print(u.urlopen('http://good.test:{targets['good']}/', timeout=9).read(),"
        " u.urlopen('https://front.test/', timeout=9, context=c).read())"
    )
    result = await sandbox.run(["python3", "-c", code], timeout=30)
    assert result.stdout_text == "b'nothing' b'nothing'\n", result.stderr_text
