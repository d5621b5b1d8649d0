"""`images list|gc` against a real engine."""

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from uuid import uuid4

import pytest

from synthbench.sandbox.docker import BASE_IMAGE
from synthbench.sandbox.docker.image_api import ImageApi
from synthbench.sandbox.docker.images import USED_FOLDER, BuildPolicy, Images
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.image import ImageSource


def cli(root: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "synthbench.cli", "images", *words],
        env={**os.environ, "SYNTHBENCH_SANDBOX_ROOT": str(root), **env},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def context() -> bytes:
    text = f"FROM {BASE_IMAGE}\nENV TEST={uuid4().hex}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


@pytest.mark.docker
async def test_what_was_built_is_listed_and_what_is_young_stays(tmp_path: Path):
    images = Images(BuildPolicy(), tmp_path / "docker" / USED_FOLDER)
    try:
        made = await images.get(ImageSource(context=context()))
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    listed = await asyncio.to_thread(cli, tmp_path, "list", "--json")
    would = await asyncio.to_thread(cli, tmp_path, "gc", "--dry-run", "--days", "0.000001", "--gb", "0.001")
    api = ImageApi()
    api.remove_image(next(one.tag for one in images.listed() if one.id == made.id))
    api.close()
    await images.aclose()
    assert made.id in [one["id"] for one in json.loads(listed.stdout)], listed.stderr
    assert would.returncode == 0, would.stderr
    assert made.id.removeprefix("sha256:")[:12] not in would.stdout


def test_no_engine_is_one_line(tmp_path: Path):
    said = cli(tmp_path, "list", DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")
    assert said.returncode != 0
    assert said.stderr.count("\n") == 1
    assert "no Docker engine answers" in said.stderr
