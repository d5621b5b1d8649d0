"""Real servers for every suite, each test with its own streams and database.

They come from wheels, or with `--containers` from the images of docker-compose.yml.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import certifi
import nats
import pytest
import structlog
from pydantic import SecretStr

from databases import Databases
from s3_faults import FaultyS3
from servers import SeaweedFS
from synthbench.chassis.process import Chassis, open_chassis
from synthbench.chassis.settings import Settings
from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.registry import Service
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage.artifacts import s3 as s3_store
from synthbench.storage.schemas import installed_schemas

if TYPE_CHECKING:
    from containers import ContainerNats, ContainerPostgres, ContainerSeaweedFS

T = TypeVar("T")
_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux' own file system in memory
_MEMORY_BYTES = 2 * 2**30
"""Of this file system have to be free for the servers of one run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--containers", action="store_true", help="servers in containers instead of from wheels")


@pytest.fixture(scope="session")
def in_containers(pytestconfig: pytest.Config) -> bool:
    """Whether servers run in containers."""
    return bool(pytestconfig.getoption("--containers"))


class Background:
    """A loop in a thread of its own: servers outlive the loops of single tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the authorities that HTTP clients trust: each new client reads the file, and that of all takes 20 ms."""
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    path.write_text(Path(certifi.where()).read_text("utf-8").partition(end)[0] + end, "utf-8")
    return path


@pytest.fixture(autouse=True)
def no_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_authority: Path
) -> None:
    """Neither variables of the developer's shell nor a synth-bench.toml reach a unit test."""
    if request.path.is_relative_to(Path(__file__).parent / "tests"):
        return  # those start the product as a user does
    for name in [name for name in os.environ if name.startswith("SYNTHBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))
    monkeypatch.setattr(certifi, "where", lambda: str(one_authority))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def background() -> Generator[Background]:
    made = Background()
    yield made
    made.close()


def _in_memory() -> Path | None:
    """A file system in memory: half of what a short-lived database or stream costs is the files that it consists of."""
    room = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES
    return _MEMORY if room else None


@pytest.fixture(scope="session")
def servers_folder() -> Generator[Path]:
    """Where the unprivileged user of Postgres can look."""
    with tempfile.TemporaryDirectory(prefix="synthbench-servers-", dir=_in_memory()) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server(
    background: Background, servers_folder: Path, in_containers: bool
) -> "Generator[EmbeddedPostgres | ContainerPostgres]":
    if in_containers:
        from containers import ContainerPostgres  # noqa: PLC0415 - testcontainers asks for Docker at its import

        container = ContainerPostgres()
        yield container
        container.stop()
        return
    server = EmbeddedPostgres(
        servers_folder / "postgres", servers_folder / "postgres.log", "secret-pass", durable=False
    )
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture(scope="session")
def databases(postgres_server: "EmbeddedPostgres | ContainerPostgres") -> Databases:
    return Databases(postgres_server.dsn)


@pytest.fixture
def dsn(databases: Databases) -> Generator[SecretStr]:
    """An empty database."""
    created = databases.create()
    yield created
    databases.drop(created)


@pytest.fixture
def migrated_dsn(databases: Databases) -> Generator[SecretStr]:
    """A database with the schemas of all services."""
    created = databases.create(installed_schemas())
    yield created
    databases.drop(created)


@pytest.fixture
def migrated(databases: Databases) -> Generator[Callable[[str, str], SecretStr]]:
    """Make a database with one schema; within a test the same one again for the same schema."""
    created: dict[tuple[str, str], SecretStr] = {}

    def make(schema: str, package: str) -> SecretStr:
        if (schema, package) not in created:
            created[schema, package] = databases.create([(schema, package)])
        return created[schema, package]

    yield make
    for database in created.values():
        databases.drop(database)


@pytest.fixture(scope="session")
def shared_nats(
    background: Background, servers_folder: Path, in_containers: bool
) -> "Generator[EmbeddedNats | ContainerNats]":
    if in_containers:
        from containers import ContainerNats  # noqa: PLC0415 - as above

        container = ContainerNats()
        yield container
        container.stop()
        return
    server = EmbeddedNats(servers_folder / "nats", servers_folder / "nats.log")
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture
def nats_server(
    background: Background, shared_nats: "EmbeddedNats | ContainerNats"
) -> "Generator[EmbeddedNats | ContainerNats]":
    """A server without users, with no streams: those of the test before were deleted, and their consumers with them."""
    yield shared_nats
    background.run(_without_streams(shared_nats.url))


async def _without_streams(url: str) -> None:
    client = await nats.connect(url)
    js = client.jetstream()
    for stream in await js.streams_info():
        assert stream.config.name
        await js.delete_stream(stream.config.name)
    await client.close()


@pytest.fixture(scope="session")
def s3_server(in_containers: bool) -> "Generator[SeaweedFS | ContainerSeaweedFS]":
    if in_containers:
        from containers import ContainerSeaweedFS  # noqa: PLC0415 - as above

        container = ContainerSeaweedFS()
        yield container
        container.stop()
        return
    if sys.platform != "linux":
        pytest.skip("SeaweedFS has no wheel for this system")
    with tempfile.TemporaryDirectory(prefix="synthbench-s3-", ignore_cleanup_errors=True) as folder:
        server = SeaweedFS(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def s3(
    s3_server: "SeaweedFS | ContainerSeaweedFS", monkeypatch: pytest.MonkeyPatch
) -> "SeaweedFS | ContainerSeaweedFS":
    """The server, with its credentials in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def faulty_s3(s3: "SeaweedFS", monkeypatch: pytest.MonkeyPatch) -> Generator[FaultyS3]:
    """A way to the server that goes wrong on demand; stores that are opened now take it, and ask twice for a second."""
    made = FaultyS3(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", made.url)
    monkeypatch.setattr(s3_store, "_READ_SECONDS", 1)
    monkeypatch.setattr(s3_store, "_TRIES", 2)
    yield made
    made.close()


MakeChassis = Callable[..., AbstractAsyncContextManager[Chassis]]


@pytest.fixture
def make_chassis(nats_server: "EmbeddedNats | ContainerNats", tmp_path: Path) -> MakeChassis:
    """Open a chassis on the test's NATS, with the topology made; settings by name."""

    @asynccontextmanager
    async def make(service: Service, settings: type[Settings] = Settings, **values: Any) -> AsyncGenerator[Chassis]:
        defaults: dict[str, Any] = {
            "nats_url": nats_server.url,
            "artifacts_url": f"file://{tmp_path / 'artifacts'}",
            "drain_seconds": 2.0,
        }
        log = structlog.stdlib.get_logger("test")
        async with open_chassis(service, settings(**{**defaults, **values}), log) as chassis:
            await ensure_topology(chassis.bus.js)
            chassis.health.ready = True
            yield chassis

    return make
