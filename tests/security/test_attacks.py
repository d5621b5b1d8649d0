"""Every attack wins in a weakened sandbox of the same technology, and loses in ours; the host is as it was.

An attack that the host's kernel refuses there, too, proves nothing, and is skipped with the kernel's word.
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
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from synthbench.embedded.datadir import DataDir
from synthbench.embedded.nats import EmbeddedNats
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.result import RunResult
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec
from synthbench.storage.artifacts.files import FilesStore
from synthbench.tasks import load_library_task
from synthbench.tasks.package import pack


def beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


attacks, controls_module = beside("attacks"), beside("weakened")

LIMITS = SandboxLimits(memory_mb=192, pids=40, disk_mb=64, files=256, cpus=0.5)
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


def stored(folder: Path) -> dict[str, object]:
    """What a stack keeps from agents, where it keeps it: a key, a task package, a journalled step."""
    data = DataDir(folder)
    data.secret("nats-executor")
    store = FilesStore(folder / "artifacts")
    package = asyncio.run(store.put(pack(load_library_task("simple-task-001")), media_type="application/x-tar"))
    asyncio.run(store.put_named("journal/rollout/1/000000", b"{}"))
    journal = next(path for path in (folder / "artifacts").rglob("000000"))
    return {
        "key": str(data.sub("secrets") / "nats-executor"),
        "package": str(store.local_path(package.uri)),
        "journal": str(journal),
    }


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
            **stored(folder / "data"),
            "secret": str(folder / "secret"), "canary": str(folder / "canary"), "neighbour": str(folder / "neighbour"),
        }  # fmt: skip
        yield made


def script(attack, targets: Targets) -> list[str]:
    return ["-c", attacks.PRELUDE + textwrap.dedent(attack.script).strip() + "\n", json.dumps(targets.values)]


class Control:
    """What each attack does in a weakened sandbox; each is run there once."""

    def __init__(self, sandbox, targets: Targets) -> None:
        self._sandbox = sandbox
        self._targets = targets

    def printed(self, attack) -> str:
        with tempfile.TemporaryDirectory(prefix="synthbench-control-") as folder:
            said = self._sandbox.run(["-I", *script(attack, self._targets)], Path(folder))
            if attack.name.startswith("a daemon"):
                threading.Event().wait(1.2)
                said += "WON" if Path(folder, "daemon-was-here").exists() else ""
        threading.Event().wait(0.1)  # whoever came is noticed by now
        self._targets.reached.clear()
        Path(str(self._targets.values["canary"])).write_text("sings")
        return said


@pytest.fixture(scope="module")
def control(engine_of_module: SandboxEngine, targets: Targets) -> Iterator[Control]:
    with controls_module.weakened(engine_of_module.name) as sandbox:
        yield Control(sandbox, targets)


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
async def test_it_wins_in_a_weakened_sandbox_and_loses_in_ours(
    attack, engine_of_module: SandboxEngine, targets: Targets, control: Control
):
    said = await asyncio.to_thread(control.printed, attack)
    if "WON" not in said:
        pytest.skip(f"this host refuses it to root, too: {said.strip()[-200:]}")
    sandbox = await engine_of_module.create(SandboxSpec(owner="attacker", limits=LIMITS))
    try:
        result = await attacked(attack, targets, sandbox)
    finally:
        await sandbox.close()
    held = attack.limit not in {line.partition(":")[0] for line in sandbox.isolation.unenforced} - {"disk_mb"}
    assert ("WON" in result.stdout_text) is not held, result.stdout_text + result.stderr_text
    targets.unharmed()
