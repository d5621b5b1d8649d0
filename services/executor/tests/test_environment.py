"""A strict task in an image of its own: verified in fresh sandboxes, like any other."""

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from synthbench.executor.environment import fill_workspace, spec_of
from synthbench.executor.verification import verify
from synthbench.sandbox.docker import BASE_IMAGE, DockerEngine
from synthbench.tasks import TaskPackage, library_tasks, load_package
from synthbench.tasks.archive import PackedFile, make_tar, read_folder

pytestmark = pytest.mark.docker


@pytest.fixture
async def engine() -> AsyncGenerator[DockerEngine]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        made = DockerEngine(Path(folder, "boxes"), warm=0)
        yield made
        await made.aclose()


@pytest.fixture
def package(tmp_path: Path) -> TaskPackage:
    folder = tmp_path / "task"
    for name, file in read_folder(library_tasks()["simple-task-001"]).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file.data)
    manifest = (folder / "task.toml").read_text()
    lines = [line for line in manifest.splitlines() if not line.startswith(("engines", "runtime"))]
    own = lines.index("[metadata.synthbench]")
    lines[own + 1 : own + 1] = ['runtime = "dockerfile"', 'engines = ["docker"]']
    (folder / "task.toml").write_text("\n".join(lines))
    (folder / "environment" / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN echo built >/built\n")
    return load_package(folder)


async def test_the_agent_works_in_it_as_nobody_special(engine: DockerEngine, package: TaskPackage):
    spec = await spec_of(engine, package, "t", 4096)
    assert (spec.root, spec.user, spec.background) == ("read-only", "agent", False)
    sandbox = await engine.create(spec)
    await fill_workspace(sandbox, package)
    result = await sandbox.run(["sh", "-c", "cat /built; id -u; touch /planted; ls"], timeout=20)
    assert result.stdout_text.startswith("built\n2")
    assert "billing" in result.stdout_text
    assert "Read-only file system" in result.stderr_text


async def test_its_code_is_verified_in_it(engine: DockerEngine, package: TaskPackage):
    solved = make_tar({name: PackedFile(data) for name, data in package.solution_changes().items() if data is not None})
    results = [await verify(engine, package, changes, owner="t") for changes in ([solved], [])]
    assert [(one.error, one.reward, one.forgeable) for one in results] == [
        (None, 1.0, False),
        (None, 0.0, False),
    ], [test for one in results for test in one.tests if test.status != "passed"]
