"""Whatever tree an agent leaves, its sandbox answers, closes, and is gone; the reaper stumbles over none."""

import asyncio
from pathlib import Path

import pytest

from synthbench.sandbox.docker.images import USED_FOLDER
from synthbench.sandbox.errors import PathRefused
from synthbench.sandbox.host.folders import make_folders, remove
from synthbench.sandbox.host.reaping import abandoned, reap
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

TREES = {
    "deep": "for i in range(1500): os.mkdir('d'); os.chdir('d')",
    "long": "for i in range(40): os.mkdir('d' * 255); os.chdir('d' * 255)",
    "closed": "os.makedirs('a/b/c'); open('a/b/f', 'w'); os.chmod('a/b/c', 0); os.chmod('a/b', 0); os.chmod('a', 0)",
    "odd": "os.mkfifo('p'); s = socket.socket(socket.AF_UNIX); s.bind('s'); os.mkdir(b'\\xff'); os.symlink('/', 'out')",
    "many": "for i in range(200): os.mkdir(str(i)); open(f'{i}/f', 'w').close()",
}


def there(root: Path, engine: SandboxEngine) -> list[str]:
    """Sandboxes that have files, also removed ones that are not empty yet."""
    folders = (root / engine.name).iterdir()
    return [path.name for path in folders if not path.name.startswith((".engine-", USED_FOLDER))]


@pytest.mark.parametrize("tree", list(TREES))
async def test_a_sandbox_with_any_tree_is_read_and_closed(engine: SandboxEngine, root: Path, tree: str):
    sandbox = await engine.create(SandboxSpec(owner="deep"))
    try:
        before = await sandbox.snapshot()
        for where in (".", "$HOME", "$TMPDIR"):
            script = f'cd {where} && mkdir -p tree && cd tree && python3 -c "import os, socket\n{TREES[tree]}"'
            done = await sandbox.run(["sh", "-c", script], timeout=60)
            assert done.exit_code == 0, done.stderr_text
        diff, _ = await sandbox.step(before)
        assert "tree" in {change.path for change in diff.changes}
        await sandbox.download()
        assert (await sandbox.run(["echo", "alive"], timeout=10)).stdout == b"alive\n"
    finally:
        await sandbox.close()
    assert [name for name in there(root, engine) if not name.startswith(".removed-")] == []
    await engine.reap()  # goes on where a slow disk kept the removal from its end
    assert there(root, engine) == []


async def test_a_path_of_thousands_of_names_is_refused_before_descriptors_run_out(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="deep"))
    try:
        await sandbox.run(["python3", "-c", f"import os\n{TREES['deep']}"], timeout=60)
        with pytest.raises(PathRefused, match="deeper than"):
            await sandbox.read("d/" * 1400 + "f")
    finally:
        await sandbox.close()


async def test_one_left_behind_that_cannot_be_ended_does_not_keep_the_others(tmp_path: Path):
    for name in ("bad", "good"):
        make_folders(tmp_path, name, f"owner-of-{name}", None, ".engine-of-nobody")

    async def end(left: object) -> None:
        if getattr(left, "name", "") == "bad":
            raise RuntimeError("cannot be ended")

    assert await asyncio.wait_for(reap(tmp_path, end), 30) == ["owner-of-good"]
    assert [one.name for one in abandoned(tmp_path)] == ["bad"]


async def test_a_removal_that_was_cut_short_is_out_of_sight_and_the_reaper_goes_on(tmp_path: Path):
    places = make_folders(tmp_path, "big", "owner", None, ".engine-of-nobody")
    (places.workspace / "file").write_text("x")
    assert not remove(places.top, seconds=0)
    assert not places.top.exists()
    assert list(tmp_path.iterdir()) != []

    async def end(_left: object) -> None:
        """Nothing runs."""

    assert await reap(tmp_path, end) == []
    assert list(tmp_path.iterdir()) == []
