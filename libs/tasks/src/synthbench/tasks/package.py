"""Task packages in memory, read from a folder or a tar in Harbor's layout:

task.toml  instruction.md  environment/workspace/…  environment/Dockerfile  solution/files/…  solution/solve.sh
tests/test.sh  tests/test_*.py  wrong/<name>/files/… or wrong/<name>/solution.patch
"""

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
from synthbench.tasks.wrong_solutions import SOLUTION, WORKSPACE, Changes, changes_in, expand_patches, names_in


class NetworkRequest(NamedTuple):
    """The network access that a task asks for."""

    mode: NetworkMode
    hosts: tuple[str, ...] = ()
    """The hosts to be reached in the mode `allowlist`."""


@dataclass(frozen=True)
class TaskPackage:
    """One task. Make one with `load_package`, `unpack` or `load_library_task`."""

    manifest: TaskManifest
    instruction: str
    files: Files = field(repr=False)

    @property
    def name(self) -> str:
        """The full name, `organisation/id`."""
        return self.manifest.task.name

    @property
    def id(self) -> str:
        """The name without its organisation."""
        return self.name.rpartition("/")[2]

    @property
    def category(self) -> str:
        """The category that the author gave."""
        return self.manifest.metadata.category

    @property
    def difficulty(self) -> str:
        """`easy`, `medium`, `hard` or `expert`."""
        return self.manifest.metadata.difficulty

    @property
    def tags(self) -> list[str]:
        """The tags that the author gave."""
        return self.manifest.metadata.tags

    @property
    def licence(self) -> str:
        """SPDX identifier, where given."""
        return self.manifest.metadata.licence

    @cached_property
    def own(self) -> SynthbenchSection:
        """The keys of `[metadata.synthbench]`; without them it runs under the harbor profile, in a container."""
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
        """Limits that the package has, or that follow from its difficulty."""
        return task_limits(self.manifest)

    @property
    def network(self) -> NetworkRequest:
        """The agent's network; a foreign package that says nothing has full access, as in Harbor."""
        agent, environment = self.manifest.agent, self.manifest.environment
        mode = agent.network_mode or environment.network_mode
        hosts = agent.allowed_hosts if agent.network_mode else environment.allowed_hosts
        return NetworkRequest(mode or ("public" if self.profile == "harbor" else "no-network"), tuple(hosts))

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
        """Warnings to the author: RUN instructions of a Dockerfile that is not built."""
        if self.profile == "harbor" or self.builds_image or DOCKERFILE not in self.files:
            return []
        lines = self.files[DOCKERFILE].data.decode("utf-8", errors="replace").splitlines()
        ignored = [line.strip() for line in lines if line.strip().upper().startswith("RUN ")]
        cure = 'runtime = "dockerfile" with engines = ["docker"] in [metadata.synthbench] builds it'
        return [f"{DOCKERFILE}: {line[:100]!r} is not carried out; {cure}" for line in ignored]

    def environment_archive(self) -> bytes:
        """The folder from which its image is built, as a tar."""
        return make_tar(self.below("environment/"))

    def foreign_archive(self, folder: Literal["tests", "solution"]) -> bytes:
        """A folder of a foreign package as it lies at the top of its container, as a tar; scripts can be run."""
        files = self.below(f"{folder}/")
        return make_tar({f"{folder}/{name}": file._replace(executable=True) for name, file in files.items()})

    def below(self, prefix: str) -> dict[str, PackedFile]:
        """Files below a folder, by their path in it."""
        return {name.removeprefix(prefix): file for name, file in self.files.items() if name.startswith(prefix)}

    def workspace_files(self) -> dict[str, bytes]:
        """Files of the workspace in which the agent begins."""
        return {name: file.data for name, file in self.below(WORKSPACE).items()}

    def workspace_archive(self) -> bytes:
        """The workspace in which the agent begins, as a tar."""
        return self._workspace_tar

    def tests_archive(self) -> bytes:
        """The hidden tests, with the driver that runs them, as a tar."""
        return self._tests_tar

    @cached_property
    def _workspace_tar(self) -> bytes:
        return make_tar(self.below(WORKSPACE))

    @cached_property
    def _tests_tar(self) -> bytes:
        return make_tar({**self.below("tests/"), DRIVER: PackedFile(driver_source())})

    def solution_changes(self) -> Changes:
        """Changes of the reference solution; none where it is only a script."""
        return changes_in(self.files, SOLUTION)

    def wrong_solutions(self) -> dict[str, Changes]:
        """Plausible solutions that are wrong, by name."""
        return {name: changes_in(self.files, f"wrong/{name}/") for name in names_in(self.files)}

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
        PackageArchiveRefused: the tar holds what it must not.
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
    problems += expand_patches(files)
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
    if not any(name.startswith(WORKSPACE) for name in files):
        problems.append(problem(WORKSPACE.rstrip("/"), "holds no file"))
    if not any(name.startswith(("solution/files/", "solution/solve.sh")) for name in files):
        problems.append(problem("solution", "has neither files/ nor solve.sh"))
    modules = {name.removeprefix("tests/").removesuffix(".py") for name in files if name.startswith("tests/test_")}
    unknown = sorted({test.split(".")[0] for test in (*own.fail_to_pass, *own.pass_to_pass)} - modules)
    problems += [problem("task.toml: metadata.synthbench", _no_module(name, files)) for name in unknown]
    return problems
