"""What a step says is what a walk over everything says, whatever commands did to the files, on every engine."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import find, settings

import file_operations
from steps import STEPS, bare, judge, second
from synthbench.sandbox.host.local import LocalSandbox
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

SEQUENCES = 100 if os.environ.get("FULL") else 4
SCRIPT = Path(file_operations.__file__).read_text()


async def do(sandbox: Sandbox, todo: list) -> None:
    """Run operations inside."""
    result = await sandbox.run(["python3", "-c", SCRIPT, "run"], stdin=json.dumps(todo).encode(), timeout=60)
    assert result.exit_code == 0, result.stderr_text


def sequences() -> list[list[list]]:
    """Long ones, the same in every run."""
    wanted = settings(max_examples=1000, derandomize=True, database=None)
    found: list[list[list]] = []

    def new_and_long(steps: list[list[list]]) -> bool:
        if sum(map(len, steps)) >= 12 and steps not in found:
            found.append(steps)
        return len(found) >= SEQUENCES

    find(STEPS, new_and_long, settings=wanted)
    return found[:SEQUENCES]


async def test_steps_say_what_a_walk_says(engine: SandboxEngine, root: Path):
    for number, steps in enumerate(sequences()):
        sandbox = await engine.create(SandboxSpec(owner="t"))
        assert isinstance(sandbox, LocalSandbox)
        owner = sandbox.lease.uid if sandbox.lease else None
        side = root / f"side-{number}"
        side.mkdir()
        copy = second(side / "copy", side / "texts")
        base = await sandbox.snapshot()
        flood = [[["flood", "f"], ["write", "kept"]]] if number == 0 else []
        for todo in [*steps, *flood]:
            await do(sandbox, todo)
            before, (diff, base) = base, await sandbox.step(base)
            judge(sandbox.folders.workspace, sandbox.workdir, owner, side / "fresh", before, (diff, base))
            assert copy.apply(diff.archive, ()) == ()
            assert bare(copy.snapshot()) == bare(base)
        await sandbox.close()


async def test_a_step_beside_a_running_command_is_a_walk(sandbox: Sandbox):
    base = await sandbox.snapshot()
    script = (
        "import mmap, time\n"
        "file = open('mapped', 'w+b'); file.truncate(4096); mapped = mmap.mmap(file.fileno(), 4096)\n"
        "for n in range(1000): mapped[0] = n % 250; time.sleep(0.01)"
    )
    running = asyncio.create_task(sandbox.run(["python3", "-c", script], timeout=60))
    diff, base = await sandbox.step(base)
    while not diff.changes:
        await asyncio.sleep(0.02)
        diff, base = await sandbox.step(base)
    assert [(change.path, change.kind) for change in diff.changes] == [("mapped", "added")]
    for _ in range(3):
        await asyncio.sleep(0.1)
        diff, base = await sandbox.step(base)
        assert [(change.path, change.kind) for change in diff.changes] == [("mapped", "modified")]
    await sandbox.kill()
    await running
    _, base = await sandbox.step(base)
    diff, base = await sandbox.step(base)
    assert diff.changes == ()


@pytest.mark.parametrize("name", ["a\nb", "ä", "-rf", "a b"])
async def test_odd_names(sandbox: Sandbox, name: str):
    base = await sandbox.snapshot()
    await sandbox.run(["mkdir", "--", name], timeout=10)
    diff, base = await sandbox.step(base)
    assert [change.path for change in diff.changes] == [name]
    await sandbox.run(["touch", "--", f"{name}/{name}"], timeout=10)
    diff, _ = await sandbox.step(base)
    assert [change.path for change in diff.changes] == [f"{name}/{name}"]
