"""The host's own hands in the agent's files: what fools a naive host, as root, does not fool ours."""

import io
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec


@dataclass(frozen=True)
class Outside:
    """What lies beside the workspace, on the host."""

    folder: Path

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    def touched(self) -> bool:
        return sorted(path.name for path in self.folder.iterdir()) != ["secret"] or self.secret.read_text() != "hidden"


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    folder = tmp_path / "outside"
    folder.mkdir()
    made = Outside(folder)
    made.secret.write_text("hidden")
    return made


def archive(*members: tuple[str, dict[str, object], bytes]) -> bytes:
    """A tar with these members: name, fields of its header, content."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, fields, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tuple[str, dict[str, object], bytes]:
    return name, {"type": kind, "linkname": to}, b""


ARCHIVES: dict[str, Callable[[Outside], bytes]] = {
    "an absolute path": lambda o: archive((f"{o.folder}/planted", {}, b"x")),
    "a path upwards": lambda o: archive((f"{'../' * 30}{o.folder}/planted".replace("//", "/"), {}, b"x")),
    "a file through a link": lambda o: archive(link("way", str(o.folder)), ("way/planted", {}, b"x")),
    "a link over a file": lambda o: archive(link("way", str(o.secret)), ("way", {}, b"x")),
    "a file through two links": lambda o: archive(
        link("one", str(o.folder.parent)), link("two", f"one/{o.folder.name}"), ("two/planted", {}, b"x")
    ),
    "a hard link to the outside": lambda o: archive(link("way", str(o.secret), tarfile.LNKTYPE), ("way", {}, b"x")),
    "a set-uid program": lambda _: archive(("program", {"mode": 0o6755}, b"x")),
    "a device": lambda _: archive(("device", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}, b"")),
    "a pipe": lambda _: archive(("pipe", {"type": tarfile.FIFOTYPE}, b"")),
}


def harmed(outside: Outside, workspace: Path) -> bool:
    """Whether the outside was touched, or something lies inside that a task has no use for."""
    if outside.touched():
        return True
    for path in workspace.rglob("*"):
        found = path.lstat()
        special = not (path.is_symlink() or path.is_dir() or path.is_file())
        if special or (path.is_file() and not path.is_symlink() and found.st_mode & 0o6000):
            return True
    return False


def extracted_naively(data: bytes, outside: Outside, workspace: Path) -> bool:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(workspace, filter="fully_trusted")
    won = harmed(outside, workspace)
    for path in outside.folder.iterdir():
        path.unlink()
    outside.secret.write_text("hidden")
    return won


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("way", ["upload", "apply"])
@pytest.mark.parametrize("name", ARCHIVES, ids=lambda name: name.replace(" ", "-"))
async def test_an_archive_stays_inside(engine: SandboxEngine, name: str, way: str, outside: Outside, tmp_path: Path):
    data = ARCHIVES[name](outside)
    (tmp_path / "naive").mkdir()
    assert extracted_naively(data, outside, tmp_path / "naive")
    sandbox = await engine.create(SandboxSpec(owner="t"))
    with suppress(SandboxError):
        await (sandbox.upload(data) if way == "upload" else sandbox.apply(data))
    found = await sandbox.run(["find", ".", "-type", "c", "-o", "-type", "p", "-o", "-perm", "/6000"], timeout=10)
    await sandbox.close()
    assert not outside.touched()
    assert found.stdout == b""


LINKS = {
    "a link to a file": "ln -s {folder}/secret way",
    "a link to a folder": "ln -s {folder} folder; ln -s folder/secret way",
    "a chain of links": "ln -s {folder} a; ln -s a b; ln -s b/secret way",
}


async def read_by_us(sandbox: Sandbox, name: str) -> str:
    try:
        return (await sandbox.read(name)).decode()
    except SandboxError:
        return ""


@pytest.mark.parametrize("name", LINKS, ids=lambda name: name.replace(" ", "-"))
async def test_a_link_leads_nowhere(engine: SandboxEngine, name: str, outside: Outside):
    sandbox = await engine.create(SandboxSpec(owner="t"))
    await sandbox.run(["sh", "-c", LINKS[name].format(folder=outside.folder)], timeout=10)
    workspace = sandbox.folders.workspace  # pyright: ignore[reportAttributeAccessIssue] - both engines have local folders
    naive = (workspace / "way").read_text()
    mine = await read_by_us(sandbox, "way")
    with suppress(SandboxError):
        await sandbox.write("way", b"planted")
    packed = await sandbox.download()
    await sandbox.close()
    assert naive == "hidden"
    assert mine == ""
    assert not outside.touched()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        kept = [tar.extractfile(member) for member in tar.getmembers() if member.isfile()]
    assert not any(b"hidden" in file.read() for file in kept if file)


@pytest.mark.parametrize("path", ["../outside/secret", "/etc/shadow", "a/../../outside/secret", "..", ""])
async def test_a_path_stays_inside(engine: SandboxEngine, path: str):
    sandbox = await engine.create(SandboxSpec(owner="t"))
    for act in (sandbox.read(path), sandbox.write(path, b"x"), sandbox.download(path) if path else sandbox.read(path)):
        with pytest.raises(SandboxError):
            await act
    await sandbox.close()


async def test_an_archive_that_grows_is_refused(engine: SandboxEngine):
    """A sparse header that says a terabyte, and a million names."""
    sandbox = await engine.create(SandboxSpec(owner="t"))
    info = tarfile.TarInfo("big")
    info.size = 1 << 40
    bomb = info.tobuf() + bytes(1024)
    with pytest.raises(SandboxError):
        await sandbox.upload(bomb)
    await sandbox.close()
