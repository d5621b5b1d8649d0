"""What a spec may ask for beside limits, and that an engine either does it or says that it does not."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from synthbench.sandbox.errors import SpecRefused
from synthbench.sandbox.image import ImageSource
from synthbench.sandbox.inside import Mount
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

walled = pytest.mark.parametrize(
    "engine", [pytest.param("docker", marks=pytest.mark.docker), "bubblewrap"], indirect=True
)
plain = pytest.mark.parametrize("engine", ["bubblewrap", "process"], indirect=True)


@walled
async def test_a_mount_is_read_and_never_written(engine: SandboxEngine, root: Path):
    await engine.probe()
    data = root / "data"
    data.mkdir(mode=0o755)
    (data / "set.csv").write_text("1,2\n")
    sandbox = await engine.create(SandboxSpec(owner="t", mounts={"set": Mount(source=data, target="/data")}))
    result = await sandbox.run(
        ["sh", "-c", "cat /data/set.csv; echo x >/data/set.csv; rm /data/set.csv; touch /data/y"], timeout=20
    )
    await sandbox.close()
    assert result.stdout == b"1,2\n"
    assert [path.name for path in data.iterdir()] == ["set.csv"]
    assert (data / "set.csv").read_text() == "1,2\n"


@plain
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"image": "x"}, "image: the {} engine"),
        ({"root": "writable", "user": "root"}, "root: the {} engine"),
        ({"user": "root"}, "user: the {} engine"),
        ({"network": "public"}, "network: the {} engine has no way out"),
        ({"network": "allowlist", "allowed_hosts": ("example.org",)}, "network: the {} engine has no way out"),
    ],
)
async def test_what_only_containers_offer_is_refused(engine: SandboxEngine, asked: dict, said: str):
    with pytest.raises(SpecRefused, match=said.format(engine.name)):
        await engine.create(SandboxSpec(owner="t", **asked))
    with pytest.raises(SpecRefused, match="docker"):
        await engine.image(ImageSource(name="x"))


async def test_the_system_is_not_reached_where_it_cannot_be_written(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t"))
    with pytest.raises(SpecRefused):
        await sandbox.put(b"", to="/")
    with pytest.raises(SpecRefused):
        await sandbox.fetch("/etc/passwd")
    await sandbox.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"workdir": "/usr/src/app"},
        {"workdir": "/usr", "root": "writable", "user": "root"},
        {"workdir": "/proc/1", "root": "writable", "user": "root"},
        {"root": "writable"},
        {"mounts": {"a": Mount(source=Path("/srv"), target="/workspace/a")}},
    ],
)
def test_what_would_hide_the_system_or_the_workspace_is_no_spec(asked: dict):
    with pytest.raises(ValidationError):
        SandboxSpec(owner="t", **asked)


def test_with_a_root_of_its_own_the_workspace_may_lie_deeper():
    spec = SandboxSpec(owner="t", workdir="/usr/src/app", root="writable", user="root")
    assert spec.workdir == "/usr/src/app"


@walled
async def test_a_command_that_kills_all_others_goes_on(engine: SandboxEngine):
    """Even who would tell of its end: the fork server does so after each run, and was taken for dead a second later."""
    sandbox = await engine.create(SandboxSpec(owner="t"))
    program = "import os, time; os.kill(-1, 9); time.sleep(2.5); print('still here')"
    result = await sandbox.run(["python3", "-c", program], timeout=20)
    await sandbox.close()
    assert result.stdout == b"still here\n"
    assert 2.5 <= result.seconds < 6
