"""Settings of the executor."""

import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from synthbench.chassis.settings import Settings
from synthbench.contracts.rewards import DEFAULT, parse_weights


class ExecutorSettings(Settings):
    """The settings of the executor, beside the common ones."""

    engines: str = "bubblewrap"
    """Sandbox engines that this process serves, comma-separated."""
    permits: int = Field(default=2, ge=1)
    """Attempts that run at once."""
    verification_permits: int = Field(default=2, ge=1)
    """Verifications at once that others ask for, beside the attempts."""
    sandbox_root: Path = Path(tempfile.gettempdir()) / "synth-bench-sandboxes"
    """The folder of the sandboxes' files; as root, other users must be able to enter it."""
    agents_root: Path = Path("/var/lib/synth-bench/agents")
    """Folder of external agents, filled by `synth-bench scaffolds install`; other users must be able to enter it."""
    sandbox_image: str = ""
    """What Docker's sandboxes run from: an image that the engine has, with a POSIX sh; empty for our default."""
    sandbox_runtime: str = ""
    """OCI runtime of Docker's sandboxes, e.g. runsc; empty for the engine's default."""
    allow_network: Literal["none", "allowlist", "public"] = "none"
    """The most network that a task's sandbox gets: none, the hosts that the task names, or every public address."""
    egress_hosts: str = ""
    """Names that may stand for addresses that are not public: "mirror.example=10.0.0.7, git.example=10.1.0.0/16"."""
    build_network: Literal["none", "default"] = "none"
    """What the steps of a task's Dockerfile reach: nothing, or what Docker's default network does."""
    build_memory_mb: int = Field(default=2048, ge=64)
    """MiB of memory of each of those steps."""
    image_days: float = Field(default=14.0, gt=0)
    """Days without use after which an image that was built for a task is removed."""
    image_gb: float = Field(default=20.0, gt=0)
    """GB of such images; the longest unused are removed when all together are more."""
    gateway_url: str = "http://127.0.0.1:8080"
    gateway_patience_seconds: float = Field(default=60.0, ge=0)
    """Seconds for which an unreachable or overloaded gateway is waited for, off the agent's clock."""
    tool_timeout_seconds: float = Field(default=60.0, gt=0)
    """Seconds of one command, unless the agent asks for less."""
    shown_bytes: int = Field(default=16_000, ge=1000)
    """Characters of an observation that the model is shown; the record keeps all of it."""
    agent_patience: int = Field(default=3, ge=1)
    """Turns in a row without a usable action that end an attempt of the native scaffold."""
    loop_repeats: int = Field(default=5, ge=2)
    """Equal turns in a row from which on the agent is told so; twice as many end the attempt."""
    max_memory_mb: int = Field(default=4096, ge=64)
    """MiB of memory that a task gets at most."""
    reward_weights: str = DEFAULT
    """What a reward is made of: "terminal=1,progress=0.3". Parts of steps are measured if named: docs/rewards.md."""
    shaping_states: int = Field(default=20, ge=1)
    """The most steps of an attempt after which the hidden tests run, where progress or regression is measured."""
    shaping_seconds: float = Field(default=60.0, gt=0)
    """Seconds that measuring may take, beside the tests that run anyway."""

    @field_validator("reward_weights")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_weights(value)
        return value
