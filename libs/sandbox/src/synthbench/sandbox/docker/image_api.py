"""The calls to a Docker engine that are about images. Each blocks, and belongs into a thread.

Neither the host's registry passwords nor its proxies are passed on, as the SDK would: pulls and builds are what a task
asks for. Source: Docker Engine API, /build and /images.
"""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from synthbench.sandbox.docker.api import DockerApi
from synthbench.sandbox.domain.images import StoredImage
from synthbench.sandbox.errors import ImageFailed

TASK_LABEL = "synth-bench.image"
"""On each image and layer that was built for a task; its value is the digest of what it was built from."""
REPOSITORY = "synth-bench/task"
_CONNECT = 30.0
_PERIOD = 100_000  # microseconds, in which CPU time is given out
_LINE = 400
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Deadline:
    """Ends one long call to the engine: when its time is over, or when nobody wants its answer any more."""

    seconds: float
    _began: float = field(default_factory=monotonic)
    _sockets: list[socket.socket] = field(default_factory=list[socket.socket])
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._began + self.seconds - monotonic())

    @property
    def over(self) -> bool:
        """Whether the work was ended."""
        return self._over.is_set()

    def end(self) -> None:
        """Hang up: the engine stops what it does."""
        self._over.set()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def on(self, response: Any) -> Generator[None]:
        """Hang up this answer when the time is over."""
        connection = response.raw.connection
        self._sockets = [connection.sock] if connection is not None and connection.sock is not None else []
        if self._over.is_set():
            self.end()
        timer = threading.Timer(self.left, self.end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._sockets = []


@dataclass(frozen=True)
class BuildPlan:
    """An image that shall be built, and the limits of its build steps.

    Attributes:
        context: tar of the folder, its Dockerfile included.
        labels: of the image.
        network: of its steps, "none" or "default".
        memory_mb: of each step, without swap.
        cpus: of each step.
    """

    context: bytes = field(repr=False)
    labels: Mapping[str, str]
    network: str
    memory_mb: int
    cpus: float


class ImageApi(DockerApi):
    """A connection for what may take long."""

    def pull(self, name: str, deadline: Deadline) -> None:
        """Have the engine pull an image.

        Raises:
            ImageFailed: the registry or the engine refused, or the time is over.
        """
        tagged = name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
        for _ in self._stream("/images/create", {"fromImage": tagged}, b"", deadline, f"{name} could not be pulled"):
            pass

    def build(self, plan: BuildPlan, deadline: Deadline) -> Iterator[str]:
        """Build an image; yields what the engine says, and as the last thing the image's digest.

        Raises:
            ImageFailed: a step failed, with its last words; or the time is over.
        """
        memory = plan.memory_mb * 1024 * 1024
        options = {
            "labels": json.dumps(dict(plan.labels)),
            "networkmode": plan.network,
            "memory": memory,
            "memswap": memory,
            "cpuperiod": _PERIOD,
            "cpuquota": round(plan.cpus * _PERIOD),
            "rm": "true",
            "forcerm": "true",
        }
        digest = ""
        for message in self._stream("/build", options, plan.context, deadline, "the image could not be built"):
            aux: dict[str, str] = message.get("aux") or {}
            digest = aux.get("ID", digest)
            if line := _COLOURS.sub("", str(message.get("stream") or "")).strip():
                yield line[:_LINE]
        if not digest:
            raise ImageFailed("the engine built an image and did not tell which")
        yield digest

    def _stream(
        self, path: str, options: Mapping[str, Any], body: bytes, deadline: Deadline, what: str
    ) -> Iterator[dict[str, Any]]:
        """Post, and read JSON objects until the engine has ended."""
        api = self._api
        url = f"{api.base_url}/v{api.api_version}{path}"
        headers = {"Content-Type": "application/x-tar"}
        try:
            response = api.post(
                url, params=options, data=body, headers=headers, stream=True, timeout=(_CONNECT, deadline.seconds)
            )
            with contextlib.closing(response), deadline.on(response):
                api._raise_for_status(response)  # noqa: SLF001 - the SDK's own way to its exceptions
                for line in response.iter_lines():
                    message: dict[str, Any] = json.loads(line)
                    if error := message.get("error"):
                        raise ImageFailed(f"{what} ({' '.join(str(error).split())[:_LINE]})")
                    yield message
        except (*self._errors, json.JSONDecodeError) as error:
            if not deadline.over:
                said_last = getattr(error, "explanation", None) or error
                raise ImageFailed(f"{what} ({' '.join(str(said_last).split())[:_LINE]})") from error
        if deadline.over:
            raise ImageFailed(f"{what} within {deadline.seconds:g} s", "give it more time, or make it less")

    def inspect(self, image: str) -> Mapping[str, Any] | None:
        """Return all that the engine knows of an image; None where it has none."""
        with self._telling(f"the image {image} cannot be looked at"):
            try:
                found: Mapping[str, Any] = self._api.inspect_image(image)
            except self._missing:
                return None
        return found

    def tag(self, image: str, tag: str) -> None:
        """Name an image for tasks."""
        with self._telling(f"the image {image} could not be named"):
            self._api.tag(image, REPOSITORY, tag)

    def built(self) -> list[StoredImage]:
        """Return the images that were built for tasks, and what builds left; `used` is when they were made."""
        with self._telling("images cannot be listed"):
            images = self._api.images(filters={"label": TASK_LABEL})
            running = {one["ImageID"] for one in self._api.containers(all=True)}
        return [
            StoredImage(
                id=str(one["Id"]),
                tag=next((tag for tag in one.get("RepoTags") or () if tag.startswith(f"{REPOSITORY}:")), ""),
                size=int(one["Size"]),
                used=float(one["Created"]),
                in_use=one["Id"] in running,
            )
            for one in images
        ]

    def remove_image(self, image: str) -> bool:
        """Remove an image by name or digest; False where something still needs it."""
        with self._telling(f"the image {image} could not be removed"):
            try:
                self._api.remove_image(image)
            except self._missing:
                return True
            except self._errors as error:
                if getattr(getattr(error, "response", None), "status_code", 0) == 409:
                    return False
                raise
        return True
