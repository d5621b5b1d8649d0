"""What steps changed, put one after the other into a fresh sandbox, is the workspace as it was after each of them."""

import tarfile

import pytest

from archives import info, tar
from commands import shell
from synthbench.sandbox.errors import ArchiveRefused
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

INITIAL = "mkdir -p src/deep; echo one > src/a.py; printf '\\0\\377' > src/blob; ln -s a.py src/link; echo x > gone"
STEPS = [
    "echo two >> src/a.py; chmod 755 src/blob; rm gone; mkdir -m 711 empty; echo é > 'ü \"file\" $x'",
    ":",
    "rm -r src/deep; echo file > src/deep; rm src/link; ln -s blob src/link",  # a folder becomes a file
    "rm src/deep; mkdir src/deep; echo in > src/deep/er; mv src/a.py src/b.py; ln -s ../src empty/up",
    "echo gone > later; truncate -s 0 src/blob; chmod 600 src/b.py",
    "rm -r src empty later; mkdir src; echo again > src/a.py",
    "chmod 555 src",
]
TREE = "find . -mindepth 1 -printf '%P %y %m %l\\n' | sort; find . -type f | sort | xargs -d '\\n' -r md5sum"


async def tree(sandbox: Sandbox) -> str:
    result = await shell(sandbox, TREE)
    assert result.exit_code == 0, result.stderr_text
    return result.stdout_text


async def test_checkpoints_in_order_are_the_workspace_after_each_step(engine: SandboxEngine):
    made = [await engine.create(SandboxSpec(owner=f"test.{number}")) for number in range(2)]
    worked, restored = made
    try:
        for sandbox in made:
            await shell(sandbox, INITIAL)
        last = await worked.snapshot()
        for script in STEPS:
            assert (await shell(worked, script)).exit_code == 0
            diff, last = await worked.step(last)
            assert bool(diff.changes) == (script != ":")
            assert diff.refused == ()
            assert await restored.apply(diff.archive) == ()
            assert await tree(restored) == await tree(worked), script
    finally:
        for sandbox in made:
            await sandbox.close()


async def test_what_cannot_be_kept_is_named_once_and_the_rest_is_kept(sandbox: Sandbox):
    last = await sandbox.snapshot()
    await shell(sandbox, "ln -s /etc/passwd out; echo kept > kept")
    diff, last = await sandbox.step(last)
    assert [path for path, _ in diff.refused] == ["out"]
    assert b"kept" in diff.archive
    diff, _ = await sandbox.step(last)
    assert (diff.changes, diff.refused) == ((), ())


async def test_a_checkpoint_from_elsewhere_is_trusted_no_more_than_an_upload(sandbox: Sandbox):
    await shell(sandbox, "echo mine > mine")
    linked = tar((info("mine", tarfile.SYMTYPE, "/etc/passwd"), b""))
    climbing = tar((info("fine"), b"x"), (info("../../out"), b"x"))
    owned = tar((info("tool", mode=0o4755), b"x"))
    for hostile in (b"no tar at all" * 100, linked, climbing, owned):
        with pytest.raises(ArchiveRefused):
            await sandbox.apply(hostile)
    assert (await shell(sandbox, "ls")).stdout == b"mine\n"
    assert await sandbox.read("mine") == b"mine\n"
