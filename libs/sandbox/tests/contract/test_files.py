"""What every engine must do with files: reading, writing, archives, diffs."""

import asyncio
import io
import json
import tarfile
from pathlib import Path

import pytest

from archives import info, tar
from commands import shell
from synthbench.sandbox.errors import ArchiveRefused, PathRefused
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec


async def test_files_go_in_and_out(sandbox: Sandbox):
    await sandbox.write("d/ä.bin", b"\0\1", mode=0o755)
    assert await sandbox.read("d/ä.bin") == b"\0\1"
    assert await sandbox.read(f"{sandbox.workdir}/d/ä.bin") == b"\0\1"
    assert (await shell(sandbox, "test -x d/ä.bin && rm d/ä.bin && echo x > d/ä.bin")).exit_code == 0
    await sandbox.upload(tar((info("up/f.txt"), b"hi"), (info("up/l", tarfile.SYMTYPE, "f.txt"), b"")))
    assert (await shell(sandbox, "cat up/l")).stdout == b"hi"
    with tarfile.open(fileobj=io.BytesIO(await sandbox.download("up"))) as archive:
        assert sorted(archive.getnames()) == ["f.txt", "l"]


async def test_reading_has_a_cap(sandbox: Sandbox):
    await sandbox.write("big", b"x" * 2000)
    with pytest.raises(PathRefused, match="bigger than 1000"):
        await sandbox.read("big", max_bytes=1000)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "link/passwd", "file-link", "fifo", "loop"])
async def test_no_path_leads_out(sandbox: Sandbox, path: str):
    await shell(sandbox, "ln -s /etc link; ln -s /etc/passwd file-link; mkfifo fifo; ln -s loop loop")
    with pytest.raises(PathRefused):
        await asyncio.wait_for(sandbox.read(path), 5)


async def test_writing_through_a_link_stays_inside(sandbox: Sandbox, root: Path):
    outside = root.parent / "outside"
    outside.mkdir(mode=0o777)
    await shell(sandbox, f"ln -s {outside} way")
    with pytest.raises(PathRefused):
        await sandbox.write("way/file", b"x")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "member",
    [
        info("../x"), info("/abs"), info("d", tarfile.CHRTYPE), info("f", tarfile.FIFOTYPE),
        info("l", tarfile.SYMTYPE, "/etc/passwd"), info("l", tarfile.SYMTYPE, "../../x"),
        info("h", tarfile.LNKTYPE, "x"),
        info("s", mode=0o4755), info("a/" * 80 + "x"),
    ],
)  # fmt: skip
async def test_hostile_archives_are_refused_whole(sandbox: Sandbox, member: tarfile.TarInfo):
    with pytest.raises(ArchiveRefused):
        await sandbox.upload(tar((info("good"), b"1"), (member, b"")))
    with pytest.raises(PathRefused):
        await sandbox.read("good")


async def test_an_archive_that_is_none_is_refused(sandbox: Sandbox):
    with pytest.raises(ArchiveRefused):
        await sandbox.upload(b"no tar at all" * 100)


async def test_a_diff_moves_every_kind_of_change(engine: SandboxEngine):
    first = await engine.create(SandboxSpec(owner="first"))
    second = await engine.create(SandboxSpec(owner="second"))
    start = tar(
        (info("keep.txt"), b"same\n"), (info("edit.txt"), b"old\n"), (info("gone.txt"), b"bye\n"),
        (info("mode.sh"), b"x"),
        (info("dir/inner"), b"1"), (info("bin"), b"\0\1"), (info("turn"), b"file"),
    )  # fmt: skip
    await first.upload(start)
    await second.upload(start)
    before = await first.snapshot()
    await shell(
        first,
        "echo new > edit.txt; rm gone.txt; chmod +x mode.sh; rm -r dir; printf '\\0\\2' > bin; rm turn; mkdir turn; "
        "echo in > turn/in; ln -s keep.txt link; echo n > 'na me ü'; mkdir empty",
    )
    diff = await first.diff(before)
    kinds = {change.path: change.kind for change in diff.changes}
    assert kinds["edit.txt"] == kinds["mode.sh"] == kinds["bin"] == "modified"
    assert kinds["gone.txt"] == kinds["dir/inner"] == kinds["dir"] == "deleted"
    assert kinds["na me ü"] == kinds["link"] == kinds["empty"] == "added"
    assert "keep.txt" not in kinds
    assert "-old\n+new" in diff.patch
    assert await second.apply(diff.archive) == ()
    listing = "find . -printf '%P %y %m %l\\n' | sort; cat edit.txt turn/in 'na me ü'; od -c bin"
    assert (await shell(first, listing)).stdout == (await shell(second, listing)).stdout
    await first.close()
    await second.close()


async def test_the_same_changes_have_the_same_digest(engine: SandboxEngine):
    digests: set[str] = set()
    for _ in range(2):
        sandbox = await engine.create(SandboxSpec(owner="t"))
        before = await sandbox.snapshot()
        await shell(sandbox, "for i in 3 1 2; do echo $i > f$i; sleep 0.01; done")
        digests.add((await sandbox.diff(before)).digest)
        await sandbox.close()
    assert len(digests) == 1


async def test_a_step_moves_the_baseline(sandbox: Sandbox):
    base = await sandbox.snapshot()
    await sandbox.write("a", b"1\n")
    diff, base = await sandbox.step(base)
    assert [(change.path, change.kind) for change in diff.changes] == [("a", "added")]
    diff, base = await sandbox.step(base)
    assert (diff.changes, diff.patch) == ((), "")
    await shell(sandbox, "echo 2 > a")
    diff, _ = await sandbox.step(base)
    assert [change.kind for change in diff.changes] == ["modified"]
    assert "-1\n+2\n" in diff.patch


async def test_what_is_protected_stays(engine: SandboxEngine):
    agent, fresh = await engine.create(SandboxSpec(owner="a")), await engine.create(SandboxSpec(owner="f"))
    for sandbox in (agent, fresh):
        await sandbox.upload(tar((info("tests/t.py"), b"good"), (info("src/s.py"), b"old")))
    before = await agent.snapshot()
    await shell(agent, "echo bad > tests/t.py; echo x > tests/conftest.py; echo new > src/s.py")
    left = await fresh.apply((await agent.diff(before)).archive, protected=["tests"])
    assert "tests/t.py" in left
    assert await fresh.read("tests/t.py") == b"good"
    assert (await fresh.read("src/s.py")).strip() == b"new"
    with pytest.raises(PathRefused):
        await fresh.read("tests/conftest.py")
    await agent.close()
    await fresh.close()


async def test_links_out_and_devices_are_not_taken_into_a_diff(sandbox: Sandbox):
    before = await sandbox.snapshot()
    await shell(sandbox, "ln -s /etc/passwd out; mkfifo pipe; ln -s ok in; echo 1 > ok")
    diff = await sandbox.diff(before)
    assert {path for path, _ in diff.refused} == {"out", "pipe"}
    assert {change.path for change in diff.changes} == {"in", "ok"}


async def test_a_hostile_diff_is_refused(sandbox: Sandbox):
    listing = json.dumps(["../../etc/passwd"]).encode()
    with pytest.raises(ArchiveRefused):
        await sandbox.apply(tar((info(".synthbench-deleted"), listing)))
