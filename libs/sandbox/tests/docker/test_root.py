"""A root that can be written, and root inside; see tests/security for what that does not give."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest

from synthbench.sandbox.docker import BASE_IMAGE
from synthbench.sandbox.docker.api import ROOT_LABEL
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.image import ImageSource
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

pytestmark = [
    pytest.mark.docker,
    pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True),
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="root inside needs root outside"),
]


def tar(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def spec(**given) -> SandboxSpec:
    return SandboxSpec(owner="t", root="writable", user="root", **given)


async def docker(*words: str) -> list[str]:
    run = partial(subprocess.run, ["docker", *words], capture_output=True, text=True, check=True)
    return (await asyncio.to_thread(run)).stdout.split()


@pytest.fixture
async def sandbox(engine: SandboxEngine) -> AsyncGenerator[Sandbox]:
    made = await engine.create(spec(workdir="/usr/share/doc/base-passwd"))
    yield made
    await made.close()


async def test_the_workspace_begins_as_the_image_has_it(engine: SandboxEngine, sandbox: Sandbox):
    plain = await engine.create(SandboxSpec(owner="t"))
    listed = ["sh", "-c", "cd /usr/share/doc/base-passwd && find . -type f -exec sha256sum {} + | sort"]
    expected = (await plain.run(listed, timeout=20)).stdout_text
    await plain.close()
    assert "copyright" in expected
    assert (await sandbox.run(listed, timeout=20)).stdout_text == expected
    before = await sandbox.snapshot()
    assert "copyright" in before.entries
    await sandbox.write("new.txt", b"mine")
    await sandbox.run(["sh", "-c", "rm copyright && echo theirs >>new.txt"], timeout=20)
    assert [(one.path, one.kind) for one in (await sandbox.diff(before)).changes] == [
        ("copyright", "deleted"),
        ("new.txt", "added"),
    ]


async def test_a_diff_is_applied_to_a_fresh_one_of_the_same_image(engine: SandboxEngine, sandbox: Sandbox):
    before = await sandbox.snapshot()
    await sandbox.run(["sh", "-c", "mkdir -p a/b && echo 1 >a/b/c && rm copyright"], timeout=20)
    diff = await sandbox.diff(before)
    fresh = await engine.create(spec(workdir=sandbox.workdir))
    assert await fresh.apply(diff.archive) == ()
    result = await fresh.run(["sh", "-c", "cat a/b/c; ls copyright"], timeout=20)
    await fresh.close()
    assert (result.stdout, result.exit_code) == (b"1\n", 2)


async def test_packages_are_installed_and_users_changed(sandbox: Sandbox):
    """With the capabilities that it has, and without new privileges."""
    control = "Package: t\nVersion: 1\nArchitecture: all\nMaintainer: t\nDescription: t"
    script = f"""
        set -e
        mkdir -p /t/DEBIAN /t/opt /t/etc && printf '{control}\\n' >/t/DEBIAN/control
        printf '#!/bin/sh\\nuseradd -m tester; chown tester /opt/it; chmod 4755 /opt/it\\n' >/t/DEBIAN/postinst
        chmod 755 /t/DEBIAN/postinst; echo 1 >/t/opt/it
        dpkg-deb --build /t /t.deb >/dev/null
        apt-get install -y /t.deb >/dev/null
        stat -c '%U %a' /opt/it
        su tester -s /bin/sh -c 'id -un; touch /etc/x' || true
    """
    result = await sandbox.run(["sh", "-c", script], timeout=60)
    assert result.stdout == b"tester 4755\ntester\n", result.stderr_text


async def test_files_are_put_and_fetched_anywhere(sandbox: Sandbox):
    await sandbox.put(tar(**{"tests/test.sh": "echo hello"}), to="/")
    assert (await sandbox.run(["sh", "/tests/test.sh"], timeout=20)).stdout == b"hello\n"
    await sandbox.run(["sh", "-c", "echo made >/tests/made; truncate -s 2M /tests/big"], timeout=20)
    got = await sandbox.fetch("/tests/made")
    assert got
    with tarfile.open(fileobj=io.BytesIO(got)) as archive:
        assert archive.getnames() == ["made"]
    assert await sandbox.fetch("/nowhere") is None
    with pytest.raises(SandboxError, match="larger than"):
        await sandbox.fetch("/tests/big", max_bytes=100_000)
    with pytest.raises(SandboxError):
        await sandbox.put(tar(x="y"), to="/nowhere")


async def test_the_record_says_what_it_ran_from(engine: SandboxEngine, sandbox: Sandbox):
    image = await engine.image(ImageSource(name=BASE_IMAGE))
    assert sandbox.image == image.id
    assert any(line.startswith("user:") for line in sandbox.isolation.unenforced)


async def test_no_volume_stays(engine: SandboxEngine, root: Path):
    """The workspace is filled through one; what an engine left of them is taken away with the rest."""
    sandbox = await engine.create(spec())
    label = ["--filter", f"label={ROOT_LABEL}={root / 'docker'}", "--quiet"]
    assert len(await docker("volume", "ls", *label)) == 1
    await docker("volume", "create", "--label", f"{ROOT_LABEL}={root / 'docker'}")
    await engine.reap()
    assert len(await docker("volume", "ls", *label)) == 1
    assert (await sandbox.run(["true"], timeout=20)).exit_code == 0
    await sandbox.close()
    await engine.aclose()
    assert await docker("volume", "ls", *label) == []
