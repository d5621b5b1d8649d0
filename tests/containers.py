"""The same servers as `servers.py` and the embedded ones, as containers: `pytest --containers`, `make test-containers`.

The images are those that docker-compose.yml names.
"""

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import psycopg
import yaml
from pydantic import SecretStr
from testcontainers.core.container import DockerContainer

from servers import SeaweedFS, lists_buckets

_START_SECONDS = 60


@cache
def image(service: str) -> str:
    """Of a service of docker-compose.yml."""
    compose = yaml.safe_load((Path(__file__).parents[1] / "docker-compose.yml").read_text())
    return compose["services"][service]["image"]


def _wait(answers: Callable[[], bool], container: DockerContainer) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        assert time.monotonic() < deadline, container.get_logs()
        time.sleep(0.05)


class ContainerNats:
    """A server without users."""

    def __init__(self) -> None:
        self._container = DockerContainer(image("nats")).with_exposed_ports(4222)
        self._container.with_command(["--jetstream", "--store_dir", "/data"])
        self._container.start()
        _wait(self._answers, self._container)

    def _answers(self) -> bool:
        port = int(self._container.get_exposed_port(4222))
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as connection:
            return connection.recv(4) == b"INFO"
        return False

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._container.get_exposed_port(4222)}"

    def stop(self) -> None:
        self._container.stop()


class ContainerPostgres:
    """A server with one superuser."""

    def __init__(self) -> None:
        self._password = secrets.token_hex(8)
        self._container = DockerContainer(image("postgres")).with_exposed_ports(5432)
        self._container.with_env("POSTGRES_USER", "synthbench").with_env("POSTGRES_DB", "postgres")
        self._container.with_env("POSTGRES_PASSWORD", self._password)
        self._container.start()
        _wait(self._answers, self._container)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn.get_secret_value(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def port(self) -> int:
        return int(self._container.get_exposed_port(5432))

    @property
    def dsn(self) -> SecretStr:
        return SecretStr(f"postgresql://synthbench:{self._password}@127.0.0.1:{self.port}/postgres")

    def stop(self) -> None:
        self._container.stop()


class ContainerSeaweedFS:
    """An S3 server."""

    key, secret = SeaweedFS.key, SeaweedFS.secret

    def __init__(self) -> None:
        self._container = DockerContainer(image("s3")).with_exposed_ports(8333)
        self._container.with_env("AWS_ACCESS_KEY_ID", self.key).with_env("AWS_SECRET_ACCESS_KEY", self.secret)
        self._container.with_command(["mini", "-dir=/tmp", "-ip.bind=0.0.0.0", *SeaweedFS.options])
        self._container.start()
        _wait(lambda: lists_buckets(self.environment), self._container)

    @property
    def port(self) -> int:
        return int(self._container.get_exposed_port(8333))

    @property
    def environment(self) -> dict[str, str]:
        """What AWS tools read."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def stop(self) -> None:
        self._container.stop()
