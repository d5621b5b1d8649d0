"""The harbor profile's verification, on a real container."""

import io
import tarfile
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from synthbench.executor.environment import fill_workspace, spec_of
from synthbench.executor.harbor import bring, verify_in_place
from synthbench.executor.verification import verify
from synthbench.executor.workspace.kept_files import keep_files
from synthbench.sandbox.docker import BASE_IMAGE, DockerEngine
from synthbench.sandbox.errors import SpecRefused
from synthbench.sandbox.protocol import Sandbox
from synthbench.storage.artifacts import open_store
from synthbench.tasks import TaskPackage
from synthbench.tasks.archive import PackedFile
from synthbench.tasks.manifest import parse_manifest

pytestmark = pytest.mark.docker

MANIFEST = """
artifacts = ["/app/made", "/etc/nothing", "/big"]
[task]
name = "t/t"
[environment]
docker_image = "IMAGE"
network_mode = "NETWORK"
storage_mb = 512
env = { COLOUR = "red" }
[verifier]
timeout_sec = 3
env = { SIZE = "big" }
"""


def package(test: str = "", network: str = "no-network") -> TaskPackage:
    manifest = MANIFEST.replace("IMAGE", BASE_IMAGE).replace("NETWORK", network)
    files = {"tests/test.sh": PackedFile(f"#!/bin/sh\n{test}\n".encode()), "tests/deep/er.txt": PackedFile(b"x")}
    return TaskPackage(parse_manifest(manifest.encode(), "t"), "do", files)


@pytest.fixture
async def engine() -> AsyncGenerator[DockerEngine]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        made = DockerEngine(Path(folder, "boxes"), warm=0)
        yield made
        await made.aclose()


@pytest.fixture
async def sandbox(engine: DockerEngine) -> Sandbox:
    made = await engine.create(await spec_of(engine, package(), "t", 4096))
    await fill_workspace(made, package())
    return made


async def test_rewards_are_what_the_tests_wrote_last(sandbox: Sandbox):
    forged = "mkdir -p /logs/verifier /tests; echo 1 >/logs/verifier/reward.txt; echo 1 >/tests/planted"
    await sandbox.run(["sh", "-c", forged], timeout=20)
    silent = await verify_in_place(sandbox, package("ls /tests >&2; exit 3"))
    assert silent.error
    assert "neither reward.json nor reward.txt; test.sh ended with 3: deep test.sh" in silent.error
    wrote = await verify_in_place(
        sandbox,
        package("""
            [ "$COLOUR$SIZE$PWD$(id -u)" = redbig/workspace0 ] && [ -w /tests/deep/er.txt ] \\
                && echo 0.5 >/logs/verifier/reward.txt
            echo '{"results": {"tests": [{"name": "a", "status": "passed"}, {"name": "b", "status": "other"}]}}' \
                >/logs/verifier/ctrf.json
            exit 1"""),
    )
    assert (wrote.error, wrote.reward, wrote.reward_parts) == (None, 0.5, {"reward": 0.5})
    assert [(test.name, test.status, test.required) for test in wrote.tests] == [
        ("a", "passed", False),
        ("b", "failed", False),
    ]
    assert (wrote.forgeable, wrote.in_place) == (True, True)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("ln -s /etc/hostname /logs/verifier/reward.txt", "neither"),
        ("mkfifo /logs/verifier/reward.txt", "neither"),
        ("mkdir /logs/verifier/reward.txt", "neither"),
        ("echo soon >/logs/verifier/reward.txt", "no number"),
        ("truncate -s 300M /logs/verifier/reward.txt", "larger than"),
        ("rm -r /logs; ln -s / /logs; echo 1 >/verifier", "neither"),
        ("sleep 60 & sleep 60", "more than 3 s"),
    ],
)
async def test_what_is_no_reward_is_an_error(sandbox: Sandbox, script: str, said: str):
    began = time.monotonic()
    result = await verify_in_place(sandbox, package(script))
    assert result.error
    assert said in result.error
    assert time.monotonic() - began < 15


async def test_what_the_agent_left_running_is_there(sandbox: Sandbox):
    await sandbox.run(["sh", "-c", "(while :; do date >/beat; sleep 0.1; done) >/dev/null 2>&1 &"], timeout=20)
    script = """
        before=$(stat -c %y /beat); sleep 0.5
        [ "$before" != "$(stat -c %y /beat)" ]; echo $((1 - $?)) >/logs/verifier/reward.txt"""
    assert (await verify_in_place(sandbox, package(script))).reward == 1.0
    await sandbox.kill()
    assert (await verify_in_place(sandbox, package(script))).reward == 0.0


async def test_files_that_the_task_wants_are_kept_and_others_said(sandbox: Sandbox, tmp_path: Path):
    script = "mkdir /app; echo 1 >/app/made; truncate -s 80M /big; echo 2 >/logs/artifacts/more"
    await sandbox.run(["sh", "-c", script], timeout=20)
    store = open_store(f"file://{tmp_path}")
    kept = {one.path: one for one in await keep_files(sandbox, package(), store)}
    assert kept["/etc/nothing"].problem == "it is not there"
    assert "larger" in kept["/big"].problem
    found = kept["/app/made"].artifact
    assert found
    with tarfile.open(fileobj=io.BytesIO(await store.get(found.uri))) as tar:
        assert tar.getnames() == ["made"]
    assert kept["/logs/artifacts"].artifact


async def test_it_cannot_be_verified_a_second_time(engine: DockerEngine):
    result = await verify(engine, package(), [], owner="t")
    assert result.error
    assert "only once" in result.error


async def test_a_network_that_is_not_given_is_refused(engine: DockerEngine):
    with pytest.raises(SpecRefused, match="'public'"):
        await spec_of(engine, package(network="public"), "t", 4096)


async def test_the_solution_lies_at_the_top(sandbox: Sandbox):
    task = replace(package(), files={"solution/solve.sh": PackedFile(b"echo solved\n")})
    await bring(sandbox, task.foreign_archive("solution"))
    assert (await sandbox.run(["/solution/solve.sh"], timeout=20)).stdout == b"solved\n"
