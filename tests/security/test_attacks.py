"""Every attack wins on the bare host, as root, and loses in each engine; the host is as it was.

The bare host is the control: the weakest sandbox there is. An attack that a kernel refuses to root, too, proves nothing
there, and is skipped with the kernel's word.
"""

import asyncio
import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from synthbench.cli.embedded.nats import EmbeddedNats
from synthbench.sandbox.protocol import Limits, RunResult, Sandbox, SandboxEngine, SandboxSpec

_spec = importlib.util.spec_from_file_location("attacks", Path(__file__).with_name("attacks.py"))
assert _spec
assert _spec.loader
attacks = importlib.util.module_from_spec(_spec)
sys.modules["attacks"] = attacks  # dataclasses look their module up
_spec.loader.exec_module(attacks)

LIMITS = Limits(memory_mb=192, pids=40, disk_mb=64, files=256, cpus=0.5)
by_attack = pytest.mark.parametrize("attack", attacks.ALL, ids=lambda attack: attack.name.replace(" ", "-"))

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="the control has to be root on Linux"
)


@dataclass
class Targets:
    """What is there to be reached, read or killed on the host."""

    folder: Path
    values: dict[str, object]
    reached: list[str] = field(default_factory=list)

    def unharmed(self) -> None:
        assert self.reached == []
        assert (self.folder / "canary").read_text() == "sings"
        assert self.folder.joinpath("neighbour", "mine").read_text() == "mine"


class Listener:
    """Says who came."""

    def __init__(self, listening: socket.socket, name: str, reached: list[str]) -> None:
        self._socket = listening
        self._name = name
        self._reached = reached
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.close()
            self._reached.append(self._name)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


def own_address() -> str:
    """An address of this host that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


def listen_abstract(name: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind("\0" + name)
    made.listen()
    return made


@pytest.fixture(scope="module")
def nats_port(background) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="synthbench-nats-") as folder:
        server = EmbeddedNats(Path(folder, "nats"), Path(folder, "log"))
        background.run(server.start())
        yield server.port
        background.run(server.stop())


@pytest.fixture(scope="module")
def targets(nats_port: int, postgres_server) -> Iterator[Targets]:
    mark = f"victim-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="synthbench-targets-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o700)
        (folder / "canary").write_text("sings")
        (folder / "secret").write_text(mark)
        (folder / "neighbour").mkdir()
        (folder / "neighbour" / "mine").write_text("mine")
        victim = subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(900)", mark], env={**os.environ, "KEY": mark}
        )
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        made = Targets(folder, {})
        loopback, everywhere = socket.create_server(("127.0.0.1", 0)), socket.create_server(("", 0))
        engine = Path("/var/run/docker.sock")
        if not engine.exists():
            engine = folder / "engine.sock"
            stand_in = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            stand_in.bind(str(engine))
            stand_in.listen()
            stack.callback(Listener(stand_in, "engine", made.reached).close)
        for listening, called in ((loopback, "loopback"), (everywhere, "address"), (listen_abstract(mark), "abstract")):
            stack.callback(Listener(listening, called, made.reached).close)
        device = Path("/").stat().st_dev
        made.values |= {
            "port": loopback.getsockname()[1], "any_port": everywhere.getsockname()[1], "address": own_address(),
            "nats": nats_port, "abstract": mark, "mark": mark,
            "postgres": urlsplit(postgres_server.dsn.get_secret_value()).port,
            "engine_socket": str(engine), "victim": victim.pid, "root_device": [os.major(device), os.minor(device)],
            "secret": str(folder / "secret"), "canary": str(folder / "canary"), "neighbour": str(folder / "neighbour"),
        }  # fmt: skip
        yield made


def script(attack, targets: Targets) -> list[str]:
    return ["-c", attacks.PRELUDE + textwrap.dedent(attack.script).strip() + "\n", json.dumps(targets.values)]


@pytest.fixture(scope="module")
def controls() -> dict[str, str]:
    """What each attack printed on the bare host."""
    return {}


def on_the_host(attack, targets: Targets, controls: dict[str, str]) -> str:
    """Run it with nothing around it but a time-out; once."""
    if attack.name not in controls:
        with tempfile.TemporaryDirectory(prefix="synthbench-control-") as folder:
            done = subprocess.run(
                [sys.executable, "-I", *script(attack, targets)],
                cwd=folder, capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
            if attack.name.startswith("a daemon"):
                threading.Event().wait(1.2)
                done.stdout += "WON" if Path(folder, "daemon-was-here").exists() else ""
        controls[attack.name] = done.stdout + done.stderr[-300:]
        threading.Event().wait(0.1)  # whoever came is noticed by now
        targets.reached.clear()
        Path(str(targets.values["canary"])).write_text("sings")
    return controls[attack.name]


async def attacked(attack, targets: Targets, sandbox: Sandbox) -> RunResult:
    result = await sandbox.run(["python3", "-I", *script(attack, targets)], timeout=30)
    if attack.name.startswith("a daemon"):
        await asyncio.sleep(1.2)
        found = await sandbox.run(["sh", "-c", "test ! -e daemon-was-here || echo WON"], timeout=10)
        return found if found.stdout else result
    return result


@pytest.mark.timeout(150)
@by_attack
@pytest.mark.asyncio(loop_scope="module")
async def test_it_wins_on_the_bare_host_and_loses_inside(
    attack, engine_of_module: SandboxEngine, targets: Targets, controls: dict[str, str]
):
    control = await asyncio.to_thread(on_the_host, attack, targets, controls)
    if "WON" not in control:
        pytest.skip(f"this host refuses it to root, too: {control.strip()[-200:]}")
    sandbox = await engine_of_module.create(SandboxSpec(owner="attacker", limits=LIMITS))
    try:
        result = await attacked(attack, targets, sandbox)
    finally:
        await sandbox.close()
    held = attack.limit not in {line.partition(":")[0] for line in sandbox.isolation.unenforced} - {"disk_mb"}
    assert ("WON" in result.stdout_text) is not held, result.stdout_text + result.stderr_text
    targets.unharmed()
