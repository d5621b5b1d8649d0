"""What of a sandbox lies outside of its workspace, where an engine reaches it."""

from typing import Protocol


class Outside(Protocol):
    """Files anywhere inside."""

    async def put(self, archive: bytes, to: str) -> None:
        """Unpack a tar in a folder that is there, its files root's."""
        ...

    async def fetch(self, path: str, max_bytes: int) -> bytes | None:
        """A file or folder as a tar; None where there is none, SandboxError where it is larger."""
        ...
