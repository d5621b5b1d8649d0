"""The three that stand before the same model, each a process of one worker on one core: LiteLLM's proxy, a bare
pass-through, and our gateway on a real Postgres and NATS."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import jwt
import nats

from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.attempt_key import ALGORITHM, AUDIENCE, AttemptClaims
from synthbench.contracts.registry import Stream
from synthbench.embedded.children import free_port, spawn, stop
from synthbench.embedded.log_files import tail
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage.migrations import migrate

from .peers import Absent, install

HERE = Path(__file__).parent
MODEL = "lab/instant"
SECRET = "bench-secret-of-at-least-thirty-two-bytes"
LITELLM = "litellm[proxy]==1.106.12"
LITELLM_KEY = "sk-bench-0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # it refuses weak ones
_READY_SECONDS = 60.0
_STREAM_BYTES = 4 << 30
"""Nobody takes `llm.called` out of its stream here, so that 100k of them must fit."""


@dataclass(frozen=True)
class Cores:
    """Who runs where; on a machine with one core all of them on that one."""

    proxy: int
    others: int

    @classmethod
    def take(cls) -> "Cores":
        """Pin this process, and with it everything that it starts, to the core of the others."""
        usable = sorted(os.sched_getaffinity(0))
        cores = cls(usable[0], usable[-1])
        os.sched_setaffinity(0, {cores.others})
        return cores


@dataclass(frozen=True)
class Proxy:
    """One that runs."""

    name: str
    port: int
    pid: int
    keys: Sequence[str]
    model: str = MODEL

    def cpu_ms(self) -> float:
        """Used so far, by all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def busy_ms(core: int) -> float:
    """What a core worked so far, whoever used it."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, soft, *_ = (int(word) for word in line.split()[1:9])
    return (user + nice + system + irq + soft) * 1000 / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def process(
    name: str,
    command: Sequence[str],
    port: int,
    folder: Path,
    *,
    core: int,
    env: Mapping[str, str],
    key: str = "none",
) -> AsyncGenerator[int]:
    """Run one that listens on a port, on a core of its own; yields its process id.

    Raises:
        Absent: it does not come up; with its last words.
    """
    log = folder / f"{name}.log"
    pinned = ["taskset", "-c", str(core), *command]
    child = await spawn(pinned, log=log, env={"PATH": os.environ["PATH"], "HOME": str(folder), **env})
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not await _ready(port, key):
            if child.returncode is not None or time.monotonic() > deadline:
                raise Absent(f"{name} did not start: {tail(log)}")
            await asyncio.sleep(0.05)
        yield child.pid
    finally:
        await stop(child, grace=10)


async def _ready(port: int, key: str) -> bool:
    """Whether something answers there, and not with a failure."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        status = (await asyncio.wait_for(reader.readline(), 5)).split()
        writer.close()
    except (OSError, TimeoutError):
        return False
    return len(status) > 1 and status[1] < b"500"


@asynccontextmanager
async def model(folder: Path, cores: Cores) -> AsyncGenerator[Proxy]:
    """The model itself: what the callers could get at most."""
    port = free_port()
    command = [sys.executable, str(HERE / "instant.py"), str(port)]
    async with process("model", command, port, folder, core=cores.others, env={}) as pid:
        yield Proxy("the model itself", port, pid, ["none"])


@asynccontextmanager
async def passthrough(folder: Path, cores: Cores, upstream: int) -> AsyncGenerator[Proxy]:
    """The floor."""
    port = free_port()
    command = [sys.executable, str(HERE / "passthrough.py"), str(port), f"http://127.0.0.1:{upstream}/v1"]
    async with process("passthrough", command, port, folder, core=cores.proxy, env={}) as pid:
        yield Proxy("pass-through", port, pid, ["none"])


@asynccontextmanager
async def litellm(folder: Path, cores: Cores, upstream: int) -> AsyncGenerator[Proxy]:
    """The peer: one worker, one key, neither a database nor callbacks, so that it counts and writes nothing down.

    Raises:
        Absent: not to be had here.
    """
    programs = await asyncio.to_thread(install, folder / "litellm", sys.executable, LITELLM)
    port = free_port()
    (folder / "litellm.yaml").write_text(
        f"model_list:\n- model_name: {MODEL}\n  litellm_params:\n    model: openai/instant\n"
        f"    api_base: http://127.0.0.1:{upstream}/v1\n    api_key: none\n"
        f"general_settings: {{master_key: {LITELLM_KEY}}}\n"
    )
    command = [
        str(programs / "litellm"), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1",
        "--port", str(port), "--num_workers", "1", "--telemetry", "False",
    ]  # fmt: skip
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    async with process("litellm", command, port, folder, core=cores.proxy, env=env, key=LITELLM_KEY) as pid:
        yield Proxy("litellm", port, pid, [LITELLM_KEY])


@asynccontextmanager
async def gateway(folder: Path, cores: Cores, upstream: int, *, keys: int) -> AsyncGenerator[Proxy]:
    """Ours: a key for each attempt, five budgets for each call, every call in the ledger and on the bus, all traced."""
    nats_server = EmbeddedNats(folder / "nats", folder / "nats.log", max_store_bytes=2 * len(Stream) * _STREAM_BYTES)
    postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", "bench-pass")
    await asyncio.gather(nats_server.start(), postgres.start())
    try:
        await asyncio.to_thread(migrate, postgres.dsn, [("ledger", "synthbench.llm_gateway")])
        client = await nats.connect(nats_server.url)
        await ensure_topology(client.jetstream(), stream_bytes=dict.fromkeys(Stream, _STREAM_BYTES))
        await client.close()
        port = free_port()
        (folder / "models.toml").write_text(
            f'[providers.lab]\nkind = "openai"\nbase_url = "http://127.0.0.1:{upstream}/v1"\n'
            f'[models."{MODEL}"]\ncontext = 1000000\nprices = {{ input = 0.1, output = 0.4 }}\n'
        )
        env = {
            "SYNTHBENCH_NATS_URL": nats_server.url, "SYNTHBENCH_POSTGRES_DSN": postgres.dsn.get_secret_value(),
            "SYNTHBENCH_ARTIFACTS_URL": f"file://{folder / 'artifacts'}", "SYNTHBENCH_HTTP_PORT": str(port),
            "SYNTHBENCH_ATTEMPT_KEY_SECRET": SECRET, "SYNTHBENCH_MODELS_FILE": str(folder / "models.toml"),
            "SYNTHBENCH_DAY_BUDGET_USD": "1000000", "SYNTHBENCH_MONTH_BUDGET_USD": "1000000",
            "SYNTHBENCH_OTLP_ENDPOINT": f"http://127.0.0.1:{upstream}",
        }  # fmt: skip
        command = [sys.executable, "-m", "synthbench.llm_gateway"]
        async with process("gateway", command, port, folder, core=cores.proxy, env=env) as pid:
            yield Proxy("synth-bench", port, pid, [attempt_key() for _ in range(keys)])
    finally:
        await asyncio.gather(nats_server.stop(), postgres.stop())


def attempt_key() -> str:
    """As the scheduler signs it: an attempt of a campaign, with caps that hold."""
    plenty = 10**9
    claims = AttemptClaims(
        submission_id=uuid4(), campaign="bench", rollout_id=uuid4(), attempt=1, route=MODEL,
        task_digest="sha256:" + "0" * 64, max_cost_microusd=plenty, submission_cost_microusd=plenty,
        campaign_cost_microusd=1000 * plenty, category="bugfix", difficulty="easy",
    )  # fmt: skip
    now = datetime.now(UTC)
    payload = {**claims.to_dict(), "aud": AUDIENCE, "iat": now, "exp": now + timedelta(hours=2)}
    return jwt.encode(payload, SECRET, ALGORITHM)
