"""The images of sandboxes: pulled where the engine has none of the name, or built from a task's folder."""

import asyncio
import hashlib
import io
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import structlog

from synthbench.sandbox.docker.image_api import REPOSITORY, TASK_LABEL, BuildPlan, Deadline, ImageApi
from synthbench.sandbox.domain.dockerfile import base_images, labelled
from synthbench.sandbox.domain.images import ImageRetention, StoredImage, expired
from synthbench.sandbox.errors import ImageFailed
from synthbench.sandbox.host.claims import NameClaim
from synthbench.sandbox.image import Image, ImageSource

USED_FOLDER = ".images"
"""Below the engine's root: when each image was used last."""
_DOCKERFILE = "Dockerfile"
_TAG = 24  # hex digits
_WAIT = 0.2
_CHATTER = ("--->", "Removing intermediate container")
_NO_NETWORK = ("resolv", "unreachable", "name or service not known", "connection", "no matching distribution", "locate")
_BUILDKIT = ("requires buildkit", "unknown flag", "unknown instruction")


@dataclass(frozen=True)
class BuildPolicy:
    """The limits of image builds: network, memory, and how long images are kept.

    Attributes:
        network: of their steps; "default" is the engine's own network, for operators who trust their tasks.
        memory_mb: of each step.
        cpus: of each step.
        retention: for how long images are kept, and how many bytes of them.
    """

    network: Literal["none", "default"] = "none"
    memory_mb: int = 2048
    cpus: float = 2.0
    retention: ImageRetention = field(default_factory=ImageRetention)


class Images:
    """The images of one engine: each pull or build is done once, however many callers wait for it.

    Args:
        policy: for builds.
        used: folder in which a file for each image tells when it was used last.
    """

    def __init__(self, policy: BuildPolicy, used: Path) -> None:
        self._policy = policy
        self._used = used
        self._api: ImageApi | None = None
        self._working: dict[str, tuple[asyncio.Task[Image], Deadline]] = {}
        self._log = structlog.get_logger("synthbench.sandbox")

    async def get(self, source: ImageSource) -> Image:
        """Return an image that the engine has, or pull or build it.

        A pull or build goes on, within its time, when its caller is cancelled.
        """
        key = hashlib.sha256(source.context or source.name.encode()).hexdigest()
        if key not in self._working:
            deadline = Deadline(source.seconds)
            task = asyncio.create_task(self._have(source, deadline))
            self._working[key] = task, deadline
            task.add_done_callback(lambda done: self._made(key, done))
        return await asyncio.shield(self._working[key][0])

    def _made(self, key: str, done: asyncio.Task[Image]) -> None:
        self._working.pop(key, None)
        if not done.cancelled() and (error := done.exception()):
            self._log.warning("no image", error=str(error))

    async def _have(self, source: ImageSource, deadline: Deadline) -> Image:
        api = await asyncio.to_thread(self._connected)
        if source.context:
            found = await self._built(api, source, deadline)
        else:
            found = await self._named(api, source.name, deadline)
        config: Mapping[str, str] = found.get("Config") or {}
        return Image(str(found["Id"]), config.get("WorkingDir") or "")

    def _connected(self) -> ImageApi:
        self._used.mkdir(parents=True, exist_ok=True)
        self._api = self._api or ImageApi()
        return self._api

    async def _named(self, api: ImageApi, name: str, deadline: Deadline) -> Mapping[str, Any]:
        """Return the image of a name that the engine has, else pull it."""
        found = await asyncio.to_thread(api.inspect, name)
        if found is None:
            self._log.info("pulling an image", image=name)
            await asyncio.to_thread(api.pull, name, deadline)
            found = await asyncio.to_thread(api.inspect, name)
        if found is None:
            raise ImageFailed(f"the engine pulled {name}, and does not have it", "docker pull it")
        return found

    async def _built(self, api: ImageApi, source: ImageSource, deadline: Deadline) -> Mapping[str, Any]:
        """Return the image that was built from the same folder on the same base, else build it."""
        dockerfile = _dockerfile(source.context)
        total = hashlib.sha256(source.context)
        for base in base_images(dockerfile):
            total.update(str((await self._named(api, base, deadline))["Id"]).encode())
        digest = total.hexdigest()
        name = f"{REPOSITORY}:{digest[:_TAG]}"
        while True:
            if found := await asyncio.to_thread(api.inspect, name):
                await asyncio.to_thread(self._touch, str(found["Id"]))
                return found
            try:
                claim = NameClaim(f"image-{digest[:_TAG]}")
            except OSError:  # another process of this machine builds it: what it makes will do
                if deadline.left <= 0:
                    raise ImageFailed("another executor builds this image for too long", "ask again later") from None
                await asyncio.sleep(_WAIT)
                continue
            try:
                await asyncio.to_thread(self._build, api, source.context, dockerfile, digest, deadline)
            finally:
                claim.release()

    def _build(self, api: ImageApi, context: bytes, dockerfile: str, digest: str, deadline: Deadline) -> None:
        plan = BuildPlan(
            context=_with_dockerfile(context, labelled(dockerfile, f"{TASK_LABEL}={digest}")),
            labels={TASK_LABEL: digest},
            network=self._policy.network,
            memory_mb=self._policy.memory_mb,
            cpus=self._policy.cpus,
        )
        began, line, words = time.monotonic(), "", ""
        try:
            for line in api.build(plan, deadline):  # the last one is the id of the image
                if line.startswith("Step "):
                    self._log.info("building an image", digest=digest[:_TAG], step=line[:120])
                elif not line.startswith(_CHATTER):
                    words = line
        except ImageFailed as error:
            raise self._explained(error, words) from error
        if api.inspect(f"{REPOSITORY}:{digest[:_TAG]}") is None:  # elsewhere somebody may have been faster
            api.tag(line, digest[:_TAG])
        else:
            api.remove_image(line)
        self._touch(line)
        self._log.info("built an image", digest=digest[:_TAG], seconds=round(time.monotonic() - began, 1))

    def _explained(self, error: ImageFailed, words: str) -> ImageFailed:
        """Return a build's error with the last line of its step, and a cure where that line suggests one."""
        cause = f"{error.cause}: {' '.join(words.split())}" if words and not error.mend else error.cause
        lowered = cause.lower()
        if any(sign in lowered for sign in _BUILDKIT):
            return ImageFailed(cause, "the classic builder is used; write it without what only BuildKit knows")
        if self._policy.network == "none" and any(sign in lowered for sign in _NO_NETWORK):
            return ImageFailed(cause, "builds have no network; the operator may set SYNTHBENCH_BUILD_NETWORK=default")
        return ImageFailed(cause, error.mend)

    def _touch(self, image: str) -> None:
        (self._used / image.removeprefix("sha256:")).touch()

    def listed(self) -> list[StoredImage]:
        """Return the images that were built here, with their last use as far as this machine knows; blocks."""
        api = self._connected()
        return [
            StoredImage(one.id, one.tag, one.size, max(one.used, self._last_use(one.id)), one.in_use)
            for one in api.built()
        ]

    def _last_use(self, image: str) -> float:
        try:
            return (self._used / image.removeprefix("sha256:")).stat().st_mtime
        except OSError:
            return 0.0

    def unwanted(self) -> Sequence[StoredImage]:
        """Return the images that are not kept any longer; blocks."""
        return expired(self.listed(), self._policy.retention, time.time())

    def collect(self) -> list[StoredImage]:
        """Remove the images that are not kept any longer; return them. Blocks.

        Raises:
            SandboxError: the engine does not answer.
        """
        gone = self.remove(self.unwanted())
        left = {one.id.removeprefix("sha256:") for one in self.listed()}
        for file in self._used.iterdir():
            if file.name not in left:
                file.unlink(missing_ok=True)
        return gone

    def remove(self, images: Sequence[StoredImage]) -> list[StoredImage]:
        """Remove images; return those that nothing needed. Blocks."""
        api = self._connected()
        return [one for one in images if api.remove_image(one.tag or one.id)]

    async def aclose(self) -> None:
        """Cancel the pulls and builds that run; the engine removes their containers."""
        working = tuple(self._working.values())
        for _, deadline in working:
            deadline.end()
        await asyncio.gather(*(task for task, _ in working), return_exceptions=True)
        if self._api is not None:
            await asyncio.to_thread(self._api.close)
            self._api = None


def _dockerfile(context: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(context), mode="r:") as tar:
        try:
            file = tar.extractfile(_DOCKERFILE)
        except KeyError:
            file = None
        if file is None:
            raise ImageFailed("the folder to build from has no Dockerfile")
        return file.read().decode(errors="replace")


def _with_dockerfile(context: bytes, text: str) -> bytes:
    """Return the archive of a folder with another Dockerfile in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(context), mode="r:") as old, tarfile.open(fileobj=buffer, mode="w") as new:
        for member in old:
            if member.name != _DOCKERFILE:
                new.addfile(member, old.extractfile(member))
        info = tarfile.TarInfo(_DOCKERFILE)
        info.size = len(text.encode())
        info.mode = 0o644
        new.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
