"""The same servers as `servers.py` and the embedded ones, as containers: `pytest --containers`, `make test-containers`.

The images are those that docker-compose.yml names.
"""

import re
import secrets
from functools import cache
from pathlib import Path

import yaml
from pydantic import SecretStr
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

_START_SECONDS = 60


@cache
def image(service: str) -> str:
    """Of a service of docker-compose.yml."""
    compose = yaml.safe_load((Path(__file__).parents[1] / "docker-compose.yml").read_text())
    return compose["services"][service]["image"]


def _started(container: DockerContainer, words: str) -> DockerContainer:
    waiting = LogMessageWaitStrategy(re.compile(words)).with_startup_timeout(_START_SECONDS)
    return container.waiting_for(waiting).start()


class ContainerNats:
    """A server without users."""

    def __init__(self) -> None:
        self._container = DockerContainer(image("nats")).with_exposed_ports(4222)
        self._container.with_command(["--jetstream", "--store_dir", "/data"])
        _started(self._container, "Server is ready")

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
        # The first start makes the database and ends again.
        _started(self._container, r"(?s)ready to accept connections.*ready to accept connections")

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

    key, secret = "tester", "test-secret-key"

    def __init__(self) -> None:
        self._container = DockerContainer(image("s3")).with_exposed_ports(8333)
        self._container.with_env("AWS_ACCESS_KEY_ID", self.key).with_env("AWS_SECRET_ACCESS_KEY", self.secret)
        self._container.with_command(["server", "-s3", "-dir=/tmp", "-ip.bind=0.0.0.0"])
        _started(self._container, "Start Seaweed S3 API Server")

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
