"""`task.toml`: Harbor's schema 1.4, and our own keys in `[metadata.synthbench]`.

Source: Harbor's task format. Keys that we do not know are kept, and mean nothing to us.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from synthbench.contracts.cloudevents import field_errors
from synthbench.contracts.loose import parse_toml
from synthbench.tasks.errors import TaskError, problem

SCHEMA_VERSION = "1.4"

Difficulty = Literal["easy", "medium", "hard", "expert"]
Engine = Literal["bubblewrap", "process", "docker"]


class Section(BaseModel):
    """A table of task.toml."""

    model_config = ConfigDict(frozen=True, extra="allow")


class TaskSection(Section):
    """The table `[task]`."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
    """`organisation/name`."""
    version: str = ""
    description: str = ""
    keywords: list[str] = []


class SynthbenchSection(BaseModel):
    """`[metadata.synthbench]`: with it a package is verified under the strict profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["strict", "harbor"] = "strict"
    runtime: Literal["python", "dockerfile"] = "python"
    """What the sandbox must bring: a Python, or the image of `environment/Dockerfile` (docker only)."""
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
        if self.runtime == "dockerfile" and self.engines != ["docker"]:
            raise ValueError('runtime "dockerfile" needs a container: write engines = ["docker"]')
        doubled = set(self.fail_to_pass) & set(self.pass_to_pass)
        if doubled:
            raise ValueError(f"in both lists: {', '.join(sorted(doubled))}")
        return self


class Metadata(Section):
    """The table `[metadata]`."""

    category: str = "uncategorized"
    difficulty: Difficulty = "medium"
    tags: list[str] = []
    licence: str = ""
    synthbench: SynthbenchSection | None = None


NetworkMode = Literal["no-network", "allowlist", "public"]


class AgentSection(Section):
    """The table `[agent]`."""

    timeout_sec: float | None = Field(default=None, gt=0, le=86_400)
    """By difficulty unless given."""
    user: str | int | None = None
    network_mode: NetworkMode | None = None
    """That of the environment unless given."""
    allowed_hosts: list[str] = []


class VerifierSection(Section):
    """The table `[verifier]`."""

    timeout_sec: float = Field(default=600.0, gt=0, le=86_400)
    env: dict[str, str] = {}
    user: str | int | None = None
    environment_mode: Literal["shared", "separate"] = "shared"
    """Where the tests of a foreign package run: in the agent's own container, or in a fresh one with its changes."""
    network_mode: NetworkMode | None = None
    environment: dict[str, Any] | None = None
    collect: list[Any] = []


class SolutionSection(Section):
    """The table `[solution]`."""

    env: dict[str, str] = {}


class EnvironmentSection(Section):
    """`[environment]`. Limits that are not given go by difficulty."""

    cpus: float | None = Field(default=None, gt=0)
    memory_mb: int | None = Field(default=None, ge=16)
    storage_mb: int = Field(default=1024, ge=1)
    docker_image: str | None = None
    """What to run from; wins over `environment/Dockerfile`."""
    build_timeout_sec: float = Field(default=600.0, gt=0, le=86_400)
    """Of a build, or of a pull."""
    workdir: str | None = None
    """The image's own unless given."""
    env: dict[str, str] = {}
    os: str = "linux"
    gpus: int = 0
    mcp_servers: list[Any] = []
    healthcheck: dict[str, Any] | None = None
    network_mode: NetworkMode | None = None
    """Harbor's default is public, ours none: see `TaskPackage.network`."""
    allowed_hosts: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _older_keys(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Read what Harbor calls deprecated: `memory`, `storage` ("2G") and `allow_internet`."""
        given: dict[str, Any] = dict(data)
        for name in ("memory", "storage"):
            if isinstance(size := given.get(name), str):
                given.setdefault(f"{name}_mb", _megabytes(size))
        if given.get("allow_internet") is not None:
            given.setdefault("network_mode", "public" if given["allow_internet"] else "no-network")
        return given


def _megabytes(size: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG])B?\s*", size, re.IGNORECASE)
    if not found:
        raise ValueError(f"{size!r} is no size like '2G' or '512M'")
    return max(1, int(float(found.group(1)) * {"K": 1 / 1024, "M": 1, "G": 1024}[found.group(2).upper()]))


def _source(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    table = cast("dict[str, Any]", entry)
    return table["source"] if "source" in table and set(table) <= {"source", "destination"} else table


class TaskManifest(Section):
    """The whole file."""

    task: TaskSection
    metadata: Metadata = Metadata()
    agent: AgentSection = AgentSection()
    verifier: VerifierSection = VerifierSection()
    environment: EnvironmentSection = EnvironmentSection()
    solution: SolutionSection = SolutionSection()
    artifacts: list[str] = []
    """Files and folders that are kept when the agent has ended; Harbor's tables with a `source` are read as that."""
    steps: list[Any] = []

    @field_validator("artifacts", mode="before")
    @classmethod
    def _sources(cls, value: list[Any]) -> list[Any]:
        return [_source(one) for one in value]


def parse_manifest(text: bytes, where: str) -> TaskManifest:
    """Parse and check a task.toml.

    Raises:
        TaskError: names every key that is wrong.
    """
    try:
        content: Mapping[str, Any] = parse_toml(text.decode("utf-8"))
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
