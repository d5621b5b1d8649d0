"""`task.toml`: Harbor's schema 1.4, and our own keys in `[metadata.synthbench]`.

Source: Harbor's task format. Keys that we do not know are kept, and mean nothing to us.
"""

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from synthbench.contracts.cloudevents import field_errors
from synthbench.tasks.errors import TaskError, problem

SCHEMA_VERSION = "1.4"

Difficulty = Literal["easy", "medium", "hard", "expert"]
Engine = Literal["bubblewrap", "process", "docker"]


class Section(BaseModel):
    """A table of task.toml."""

    model_config = ConfigDict(frozen=True, extra="allow")


class TaskSection(Section):
    """`[task]`."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
    """`organisation/name`."""
    version: str = ""
    description: str = ""
    keywords: list[str] = []


class SynthbenchSection(BaseModel):
    """`[metadata.synthbench]`: with it a package is verified under the strict profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["strict", "harbor"] = "strict"
    runtime: Literal["python"] = "python"
    """What the sandbox must bring where no image is built."""
    engines: list[Engine] = ["bubblewrap", "process", "docker"]
    fail_to_pass: list[str] = []
    """Hidden tests, `module.Class.test`, that fail on the untouched workspace and must pass."""
    pass_to_pass: list[str] = []
    """Hidden tests that pass on the untouched workspace and must still."""
    protected: list[str] = []
    """Paths of the workspace that an agent's change to is left out of the verification."""
    visible_check: str = ""
    """A command by which the agent may check itself."""
    expected_steps: int = Field(default=8, ge=1)
    """Of a good solution; for people."""
    pids: int | None = Field(default=None, ge=4)
    """Processes and threads at once; by difficulty unless given."""

    @model_validator(mode="after")
    def _has_tests(self) -> "SynthbenchSection":
        if self.profile == "strict" and not self.fail_to_pass:
            raise ValueError("fail_to_pass names no test: the reward could never be earned")
        doubled = set(self.fail_to_pass) & set(self.pass_to_pass)
        if doubled:
            raise ValueError(f"in both lists: {', '.join(sorted(doubled))}")
        return self


class Metadata(Section):
    """`[metadata]`."""

    category: str = "uncategorized"
    difficulty: Difficulty = "medium"
    tags: list[str] = []
    licence: str = ""
    synthbench: SynthbenchSection | None = None


class AgentSection(Section):
    """`[agent]`."""

    timeout_sec: float | None = Field(default=None, gt=0, le=86_400)
    """By difficulty unless given."""


class VerifierSection(Section):
    """`[verifier]`."""

    timeout_sec: float = Field(default=600.0, gt=0, le=86_400)


class EnvironmentSection(Section):
    """`[environment]`. What is not given goes by difficulty."""

    cpus: float | None = Field(default=None, gt=0)
    memory_mb: int | None = Field(default=None, ge=16)
    storage_mb: int = Field(default=1024, ge=1)


class TaskManifest(Section):
    """The whole file."""

    task: TaskSection
    metadata: Metadata = Metadata()
    agent: AgentSection = AgentSection()
    verifier: VerifierSection = VerifierSection()
    environment: EnvironmentSection = EnvironmentSection()


def parse_manifest(text: bytes, where: str) -> TaskManifest:
    """Read task.toml.

    Raises:
        TaskError: names every key that is wrong.
    """
    try:
        content: Mapping[str, Any] = tomllib.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TaskError(where, [problem("task.toml", "is not UTF-8")]) from error
    except tomllib.TOMLDecodeError as error:
        raise TaskError(where, [problem("task.toml", f"is no TOML: {error}")]) from error
    version = str(content.get("schema_version", content.get("version", SCHEMA_VERSION)))
    if version.split(".", maxsplit=1)[0] != "1":
        raise TaskError(
            where, [problem("task.toml: schema_version", f"{version!r} is not supported; write {SCHEMA_VERSION!r}")]
        )
    try:
        return TaskManifest.model_validate(content)
    except ValidationError as error:
        problems = [problem(f"task.toml: {one.field}", one.message) for one in field_errors(error)]
        raise TaskError(where, problems) from error
