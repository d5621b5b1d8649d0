"""Checks where the workspace and read-only folders of the host may be mounted inside a sandbox."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

_SYSTEM = (
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
)
_KERNEL = ("dev", "proc", "run", "sys")


def checked_workdir(value: str, *, writable_root: bool) -> str:
    """Return a folder that a workspace may cover.

    Args:
        value: where it shall be seen.
        writable_root: then the system below belongs to the sandbox as well, and only its top folders, and what the
            kernel shows, are kept.

    Raises:
        ValueError: it is no absolute path without detours, or would hide the system.
    """
    parts = value.split("/")
    if not value.startswith("/") or any(part in {"", ".", ".."} for part in parts[1:]) or "\0" in value:
        raise ValueError("a workdir is an absolute path without '.', '..' and empty parts")
    deep = writable_root and len(parts) > 2 and parts[1] not in _KERNEL
    if parts[1] in _SYSTEM and not deep:
        raise ValueError(f"/{parts[1]} belongs to the system; take a workdir like /workspace or /app")
    return value


class Mount(BaseModel):
    """A folder of the host that a sandbox may read, and nobody inside may change.

    Attributes:
        source: on the host, readable by everybody: sandboxes have uids of their own.
        target: where it is seen inside, outside of the workspace and of the system.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path
    target: str

    @field_validator("target")
    @classmethod
    def _is_free(cls, value: str) -> str:
        return checked_workdir(value, writable_root=False)
