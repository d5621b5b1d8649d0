"""Real servers for tests, each from its wheel."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from synthbench.embedded.children import free_port


class SeaweedFS:
    """A real S3 server on loopback, from its wheel."""

    key, secret = "tester", "test-secret-key"
    options = (
        "-admin.ui=false", "-webdav=false", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.telemetry=false",
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _port_with_twin()
        self._process: subprocess.Popen[bytes] | None = None

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

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        ports = {name: _port_with_twin() for name in ("master", "filer", "volume", "admin")}
        command = [
            str(Path(sys.executable).with_name("weed")), "mini", f"-dir={self.folder}", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", f"-s3.port={self.port}", *self.options,
            *(f"-{name}.port={port}" for name, port in ports.items()),
        ]  # fmt: skip
        with (self.folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while not lists_buckets(self.environment):
            ended = self._process.poll() is not None or time.monotonic() > deadline
            assert not ended, (self.folder / "weed.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)


def _port_with_twin() -> int:
    """SeaweedFS takes port + 10000 for gRPC."""
    while (port := free_port()) > 55_000:
        pass
    return port


def lists_buckets(environment: Mapping[str, str]) -> bool:
    """Whether an S3 server answers to its credentials."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3")
    key, secret, endpoint = (environment[name] for name in names)
    session = boto3.Session(key, secret, region_name="us-east-1")
    with contextlib.closing(session.client("s3", endpoint_url=endpoint)) as client:
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
    return True
