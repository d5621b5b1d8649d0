"""What the Docker engine is told beside the protocol."""

import json
from pathlib import Path

import pytest

from synthbench.sandbox.docker import BASE_IMAGE, DockerEngine
from synthbench.sandbox.docker.seccomp import profile
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec
from synthbench.sandbox.tree.notices import Notices

docker_only = pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True)


@docker_only
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runtime": "nowhere"}, "no runtime 'nowhere'"),
        ({"image": "nobody/nowhere:0"}, "no image nobody/nowhere:0"),
    ],
)
async def test_what_the_engine_does_not_have_is_said(engine: SandboxEngine, tmp_path: Path, options: dict, said: str):
    await engine.probe()
    other = DockerEngine(tmp_path / "boxes", **options)
    with pytest.raises(EngineUnavailable, match=said) as caught:
        await other.probe()
    await other.aclose()
    assert "\n" not in str(caught.value)


@docker_only
async def test_the_named_runtime_and_image_are_used(engine: SandboxEngine, root: Path):
    await engine.probe()
    other = DockerEngine(root / "other", runtime="runc", image=BASE_IMAGE)
    sandbox = await other.create(SandboxSpec(owner="t"))
    result = await sandbox.run(["echo", "x"], timeout=20)
    await other.aclose()
    assert result.stdout == b"x\n"


@docker_only
async def test_where_the_engine_writes_unnoticed_every_step_is_a_walk(
    engine: SandboxEngine, root: Path, monkeypatch: pytest.MonkeyPatch
):
    """As in a virtual machine that shares the folder: our kernel hears nothing of what is written inside."""
    assert (await engine.probe()).noticed
    monkeypatch.setattr(Notices, "_sort", lambda *_: None)
    deaf = DockerEngine(root / "deaf")
    isolation = await deaf.probe()
    sandbox = await deaf.create(SandboxSpec(owner="t"))
    before = await sandbox.snapshot()
    await sandbox.run(["sh", "-c", "echo x >there"], timeout=20)
    diff, _ = await sandbox.step(before)
    await deaf.aclose()
    assert not isolation.noticed
    assert [change.path for change in diff.changes] == ["there"]


def test_the_profile_allows_what_programs_need_and_no_more():
    rules = json.loads(profile())
    allowed = {name for rule in rules["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert rules["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {"openat", "execve", "futex", "clone"} <= allowed
    assert allowed.isdisjoint({"bpf", "keyctl", "mount", "unshare", "setns", "io_uring_setup", "userfaultfd", "reboot"})
