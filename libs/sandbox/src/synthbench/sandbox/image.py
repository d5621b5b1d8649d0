"""The images that sandboxes run from, for engines that have images."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ImageSource:
    """The source of an image: a name, or a folder with a Dockerfile.

    Attributes:
        name: of an image that the engine has, or can pull.
        context: an uncompressed tar of the folder, the same bytes for the same files; wins over the name.
        seconds: for the pull or the build.
    """

    name: str = ""
    context: bytes = field(default=b"", repr=False)
    seconds: float = 600.0


@dataclass(frozen=True)
class Image:
    """An image that the engine has.

    Attributes:
        id: "sha256:<hex>" of its configuration; what `SandboxSpec.image` takes.
        workdir: the folder that it names for work; "" where it names none.
    """

    id: str
    workdir: str = ""
