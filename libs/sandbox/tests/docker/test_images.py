"""Images of tasks, built and kept on a real engine."""

import asyncio
import io
import tarfile
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from synthbench.sandbox.docker import BASE_IMAGE, DockerEngine
from synthbench.sandbox.docker.image_api import ImageApi
from synthbench.sandbox.docker.images import USED_FOLDER, BuildPolicy, Images
from synthbench.sandbox.domain.images import ImageRetention
from synthbench.sandbox.errors import ImageFailed
from synthbench.sandbox.image import ImageSource
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

pytestmark = [
    pytest.mark.docker,
    pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True),
]


def context(*steps: str) -> bytes:
    """A folder with a Dockerfile that nobody has built before."""
    text = "\n".join([f"FROM {BASE_IMAGE}", f"ENV TEST={uuid4().hex}", *steps]).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


def running(command: str) -> list[str]:
    """Ids of processes of this machine with these words."""
    wanted = "\0".join(command.split()).encode()
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if wanted in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.fixture
async def images(engine: SandboxEngine, root: Path) -> AsyncGenerator[Images]:
    """Those of this test; what it builds goes with it."""
    await engine.probe()
    used = root / "docker" / USED_FOLDER
    made = Images(BuildPolicy(retention=ImageRetention(seconds=-1.0, young_seconds=-1.0)), used)
    before = {one.id for one in await asyncio.to_thread(made.listed)}
    yield made
    api = ImageApi()
    for one in made.listed():
        if one.id not in before:
            api.remove_image(one.tag or one.id)
    api.close()
    await made.aclose()


async def test_the_same_folder_is_built_once_whoever_asks(images: Images, root: Path):
    source = ImageSource(context=context("WORKDIR /app", "RUN echo 1 >made"))
    others = Images(BuildPolicy(), root / "others")
    one, two, three = await asyncio.gather(images.get(source), images.get(source), others.get(source))
    await others.aclose()
    assert one == two == three
    assert one.workdir == "/app"
    began = time.monotonic()
    assert await images.get(source) == one
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    ("step", "seconds", "said"),
    [
        ("RUN echo why >&2; exit 3", 60, "code: 3"),
        (
            "RUN python3 -c 'import socket; socket.create_connection((\"1.1.1.1\", 53), 3)'",
            60,
            "SYNTHBENCH_BUILD_NETWORK",
        ),
        ("RUN sleep 60", 2, "within 2 s"),
        ("RUN --mount=type=cache,target=/x true", 60, "BuildKit"),
    ],
)
async def test_a_build_that_fails_says_why_in_a_line(images: Images, step: str, seconds: float, said: str):
    began = time.monotonic()
    with pytest.raises(ImageFailed, match=said) as caught:
        await images.get(ImageSource(context=context(step), seconds=seconds))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 30


async def test_a_build_that_nobody_wants_any_more_is_ended(images: Images):
    asked = asyncio.create_task(images.get(ImageSource(context=context("RUN sleep 61"))))
    await asyncio.sleep(1.5)
    asked.cancel()
    began = time.monotonic()
    await images.aclose()
    assert time.monotonic() - began < 10
    until = time.monotonic() + 5
    while running("sleep 61") and time.monotonic() < until:
        await asyncio.sleep(0.1)
    assert not running("sleep 61")


async def test_builds_see_no_secret_of_the_host(images: Images, monkeypatch: pytest.MonkeyPatch, root: Path):
    (root / "config.json").write_text(
        '{"auths": {"x": {"auth": "czpz"}}, "proxies": {"default": {"httpProxy": "http://p"}}}'
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(root))
    monkeypatch.setenv("PROVIDER_API_KEY", "sk-host-secret")
    got = await images.get(ImageSource(context=context("RUN env >/seen")))
    engine = DockerEngine(root / "more")
    sandbox = await engine.create(SandboxSpec(owner="t", image=got.id))
    seen = (await sandbox.run(["cat", "/seen"], timeout=20)).stdout_text
    await engine.aclose()
    assert "PATH=" in seen
    assert "http://p" not in seen
    assert "sk-host-secret" not in seen


async def test_what_goes_is_ours_and_nothing_that_is_used(images: Images, engine: SandboxEngine):
    before = {one.id for one in images.listed()}
    used, unused = [await images.get(ImageSource(context=context())) for _ in range(2)]
    with pytest.raises(ImageFailed):
        await images.get(ImageSource(context=context("RUN true", "RUN false")))
    sandbox = await engine.create(SandboxSpec(owner="t", image=used.id))
    ours = [one for one in images.listed() if one.id not in before]
    unwanted = {one.id for one in images.unwanted()}
    gone = {one.id for one in images.remove(ours)}
    left = [one for one in images.listed() if one.id not in before]
    await sandbox.close()
    assert len(ours) == 3, "a layer of the build that failed"
    assert unused.id in unwanted
    assert used.id not in unwanted
    assert [one.id for one in left] == [used.id]
    assert used.id not in gone
