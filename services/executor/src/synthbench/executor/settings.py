"""Settings of the executor."""

import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from synthbench.chassis.settings import Settings
from synthbench.contracts.rewards import DEFAULT, parse_weights


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
    agents_root: Path = Path("/var/lib/synth-bench/agents")
    """Where `synth-bench scaffolds install` puts external agents; other users must be able to enter it."""
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
    """Of each of those steps."""
    image_days: float = Field(default=14.0, gt=0)
    """An image that was built for a task goes when it was not used for so long."""
    image_gb: float = Field(default=20.0, gt=0)
    """The longest unused go when all together are more."""
    gateway_url: str = "http://127.0.0.1:8080"
    gateway_patience_seconds: float = Field(default=60.0, ge=0)
    """How long an unreachable or overloaded gateway is waited for, off the agent's clock."""
    tool_timeout_seconds: float = Field(default=60.0, gt=0)
    """Of one command, unless the agent asks for less."""
    shown_bytes: int = Field(default=16_000, ge=1000)
    """How much of an observation the model is shown; the record keeps all of it."""
    agent_patience: int = Field(default=3, ge=1)
    """So many turns in a row without a usable action end an attempt of the native scaffold."""
    loop_repeats: int = Field(default=5, ge=2)
    """From so many equal turns in a row on its agent is told so; twice as many end the attempt."""
    max_memory_mb: int = Field(default=4096, ge=64)
    """A task that asks for more gets this."""
    reward_weights: str = DEFAULT
    """What a reward is made of: "terminal=1,progress=0.3". Parts of steps are measured if named: docs/rewards.md."""
    shaping_states: int = Field(default=20, ge=1)
    """After so many steps of an attempt at most the hidden tests run, where progress or regression is measured."""
    shaping_seconds: float = Field(default=60.0, gt=0)
    """For so long, beside the tests that run anyway."""

    @field_validator("reward_weights")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_weights(value)
        return value
