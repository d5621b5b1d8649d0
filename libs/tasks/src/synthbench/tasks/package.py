"""A task package: Harbor's folder layout, in memory.

task.toml  instruction.md  environment/workspace/…  environment/Dockerfile  solution/files/…  solution/solve.sh
tests/test.sh  tests/test_*.py  wrong/<name>/files/…
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.records import FieldError
from synthbench.tasks.archive import Files, PackedFile, make_tar, read_folder, read_tar
from synthbench.tasks.errors import TaskError, problem
from synthbench.tasks.foreign import DOCKERFILE, environment_problems, harbor_problems
from synthbench.tasks.limits import TaskLimits, task_limits
from synthbench.tasks.manifest import NetworkMode, SynthbenchSection, TaskManifest, parse_manifest
from synthbench.tasks.verify import DRIVER, driver_source

_WORKSPACE = "environment/workspace/"
_SOLUTION = "solution/files/"
_DELETED = "deleted.txt"

Changes = Mapping[str, bytes | None]
"""Path in the workspace -> new content, None where it is to be deleted."""


class NetworkWanted(NamedTuple):
    """What a task wants to reach."""

    mode: NetworkMode
    hosts: tuple[str, ...] = ()
    """Where the mode is `allowlist`."""


@dataclass(frozen=True)
class TaskPackage:
    """One task. Make one with `load_package`, `unpack` or `load_library_task`."""

    manifest: TaskManifest
    instruction: str
    files: Files = field(repr=False)

    @property
    def name(self) -> str:
        """`organisation/id`."""
        return self.manifest.task.name

    @property
    def id(self) -> str:
        """The name without its organisation."""
        return self.name.rpartition("/")[2]

    @property
    def category(self) -> str:
        """From the metadata."""
        return self.manifest.metadata.category

    @property
    def difficulty(self) -> str:
        """`easy`, `medium`, `hard` or `expert`."""
        return self.manifest.metadata.difficulty

    @property
    def tags(self) -> list[str]:
        """From the metadata."""
        return self.manifest.metadata.tags

    @property
    def licence(self) -> str:
        """SPDX identifier, where given."""
        return self.manifest.metadata.licence

    @cached_property
    def own(self) -> SynthbenchSection:
        """Our own keys; a foreign package runs under the harbor profile, in a container."""
        given = self.manifest.metadata.synthbench
        return given or SynthbenchSection(profile="harbor", engines=["docker"])

    @property
    def profile(self) -> str:
        """`strict` or `harbor`."""
        return self.own.profile

    @property
    def engines(self) -> list[str]:
        """Sandbox engines that can run it."""
        return ["docker"] if self.profile == "harbor" else list(self.own.engines)

    @property
    def limits(self) -> TaskLimits:
        """What the task asks for."""
        return task_limits(self.manifest)

    @property
    def network(self) -> NetworkWanted:
        """What the agent may reach; a foreign package that says nothing wants all, as in Harbor."""
        agent, environment = self.manifest.agent, self.manifest.environment
        mode = agent.network_mode or environment.network_mode
        hosts = agent.allowed_hosts if agent.network_mode else environment.allowed_hosts
        return NetworkWanted(mode or ("public" if self.profile == "harbor" else "no-network"), tuple(hosts))

    @property
    def verified_in_place(self) -> bool:
        """Whether its tests run in the agent's own sandbox."""
        return self.profile == "harbor" and self.manifest.verifier.environment_mode == "shared"

    @property
    def builds_image(self) -> bool:
        """Whether it runs from its own Dockerfile."""
        return (self.profile == "harbor" or self.own.runtime == "dockerfile") and not self.image_name

    @property
    def image_name(self) -> str:
        """The image that a foreign package runs from, where it names one; else empty."""
        return (self.manifest.environment.docker_image or "") if self.profile == "harbor" else ""

    def remarks(self) -> list[str]:
        """What its author may take for granted, and is not so: RUN instructions of a Dockerfile that nobody builds."""
        if self.profile == "harbor" or self.builds_image or DOCKERFILE not in self.files:
            return []
        lines = self.files[DOCKERFILE].data.decode("utf-8", errors="replace").splitlines()
        ignored = [line.strip() for line in lines if line.strip().upper().startswith("RUN ")]
        cure = 'runtime = "dockerfile" with engines = ["docker"] in [metadata.synthbench] builds it'
        return [f"{DOCKERFILE}: {line[:100]!r} is not carried out; {cure}" for line in ignored]

    def environment_archive(self) -> bytes:
        """The folder that its image is built from, as a tar."""
        return make_tar(self.below("environment/"))

    def foreign_archive(self, folder: Literal["tests", "solution"]) -> bytes:
        """A folder of a foreign package as it lies at the top of its container, as a tar; scripts can be run."""
        files = self.below(f"{folder}/")
        return make_tar({f"{folder}/{name}": file._replace(executable=True) for name, file in files.items()})

    def below(self, prefix: str) -> dict[str, PackedFile]:
        """Files below a folder, by their path in it."""
        return {name.removeprefix(prefix): file for name, file in self.files.items() if name.startswith(prefix)}

    def workspace_files(self) -> dict[str, bytes]:
        """What the agent finds."""
        return {name: file.data for name, file in self.below(_WORKSPACE).items()}

    def workspace_archive(self) -> bytes:
        """What the agent finds, as a tar."""
        return self._workspace_tar

    def tests_archive(self) -> bytes:
        """The hidden tests, with the driver that runs them, as a tar."""
        return self._tests_tar

    @cached_property
    def _workspace_tar(self) -> bytes:
        return make_tar(self.below(_WORKSPACE))

    @cached_property
    def _tests_tar(self) -> bytes:
        return make_tar({**self.below("tests/"), DRIVER: PackedFile(driver_source())})

    def solution_changes(self) -> Changes:
        """What the solution changes; empty where it is only a script."""
        return self._changes(_SOLUTION)

    def wrong_solutions(self) -> dict[str, Changes]:
        """Plausible solutions that are wrong, by name."""
        names = sorted(
            {name.split("/")[1] for name in self.files if name.startswith("wrong/") and name.count("/") >= 2}
        )
        return {name: self._changes(f"wrong/{name}/files/") for name in names}

    def _changes(self, prefix: str) -> Changes:
        changes: dict[str, bytes | None] = {name: file.data for name, file in self.below(prefix).items()}
        listing = self.files.get(prefix.removesuffix("files/") + _DELETED)
        if listing:
            changes |= dict.fromkeys(listing.data.decode().split())
        return changes

    def solve_script(self) -> str | None:
        """`solution/solve.sh`, for packages whose solution is a script."""
        script = self.files.get("solution/solve.sh")
        return script.data.decode() if script else None


def load_package(folder: Path) -> TaskPackage:
    """Read a package from its folder.

    Raises:
        TaskError: one line that names every file and key that is wrong.
    """
    return _package(read_folder(folder), str(folder))


def unpack(archive: bytes) -> TaskPackage:
    """Read a package from its tar.

    Raises:
        ArchiveRefused: the tar holds what it must not.
        TaskError: what it holds is no package.
    """
    return _package(read_tar(archive), "package")


def pack(package: TaskPackage) -> bytes:
    """Return the one tar of a package."""
    return make_tar(package.files)


def digest_of(package: TaskPackage) -> str:
    """Return the digest by which the package is submitted and found."""
    return sha256_digest(pack(package))


def _package(files: dict[str, PackedFile], where: str) -> TaskPackage:
    problems = [
        problem(name, "is missing") for name in ("task.toml", "instruction.md", "tests/test.sh") if name not in files
    ]
    if "task.toml" not in files:
        raise TaskError(where, problems)
    manifest = parse_manifest(files["task.toml"].data, where)
    instruction = files["instruction.md"].data.decode("utf-8", errors="replace") if "instruction.md" in files else ""
    if "instruction.md" in files and not instruction.strip():
        problems.append(problem("instruction.md", "is empty"))
    own = manifest.metadata.synthbench
    if own is not None and own.profile == "strict":
        files[f"tests/{DRIVER}"] = PackedFile(driver_source())
        problems += _strict_problems(files, own)
        if own.runtime == "dockerfile":
            problems += environment_problems(manifest, files)
    else:
        problems += harbor_problems(manifest, files)
    if problems:
        raise TaskError(where, problems)
    return TaskPackage(manifest, instruction, files)


def _no_module(name: str, files: Files) -> str:
    if f"tests/{name}.py" in files:
        return f"names tests of {name}, but hidden tests are files tests/test_*.py: rename tests/{name}.py"
    return f"names tests of {name}, but there is no tests/{name}.py"


def _strict_problems(files: Files, own: SynthbenchSection) -> list[FieldError]:
    problems: list[FieldError] = []
    if not any(name.startswith(_WORKSPACE) for name in files):
        problems.append(problem(_WORKSPACE.rstrip("/"), "holds no file"))
    if not any(name.startswith(("solution/files/", "solution/solve.sh")) for name in files):
        problems.append(problem("solution", "has neither files/ nor solve.sh"))
    modules = {name.removeprefix("tests/").removesuffix(".py") for name in files if name.startswith("tests/test_")}
    unknown = sorted({test.split(".")[0] for test in (*own.fail_to_pass, *own.pass_to_pass)} - modules)
    problems += [problem("task.toml: metadata.synthbench", _no_module(name, files)) for name in unknown]
    return problems
