"""Settings of the executor."""

import tempfile
from pathlib import Path

from pydantic import Field

from synthbench.chassis.settings import Settings


class ExecutorSettings(Settings):
    """Beside the common ones."""

    engines: str = "bubblewrap"
    """Sandbox engines that this process serves, comma-separated."""
    permits: int = Field(default=2, ge=1)
    """Attempts at once."""
    verification_permits: int = Field(default=2, ge=1)
    """Verifications at once that others ask for, beside the attempts."""
    sandbox_root: Path = Path(tempfile.gettempdir()) / "synth-bench-sandboxes"
    """Where sandboxes keep their files; as root, other users must be able to enter it."""
    sandbox_image: str = ""
    """What Docker's sandboxes run from: an image that the engine has, with a POSIX sh; empty for our default."""
    sandbox_runtime: str = ""
    """OCI runtime of Docker's sandboxes, e.g. runsc; empty for the engine's default."""
    gateway_url: str = "http://127.0.0.1:8080"
    gateway_patience_seconds: float = Field(default=60.0, ge=0)
    """How long an unreachable or overloaded gateway is waited for, off the agent's clock."""
    tool_timeout_seconds: float = Field(default=60.0, gt=0)
    """Of one command, unless the agent asks for less."""
    shown_bytes: int = Field(default=16_000, ge=1000)
    """How much of an observation the model is shown; the record keeps all of it."""
    max_memory_mb: int = Field(default=4096, ge=64)
    """A task that asks for more gets this."""
