"""The folders of a sandbox: all of them, or none."""

import asyncio
import threading
from pathlib import Path

import pytest

from synthbench.sandbox.host import folders


async def test_nothing_stays_of_folders_whose_making_was_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun, go_on = threading.Event(), threading.Event()
    make = folders.make_folders

    def slow(*arguments) -> folders.SandboxFolders:
        begun.set()
        assert go_on.wait(10)
        return make(*arguments)

    monkeypatch.setattr(folders, "make_folders", slow)
    making = asyncio.create_task(folders.make_folders_in_thread(tmp_path, "one", "owner", None, ".engine-1"))
    await asyncio.to_thread(begun.wait, 10)
    making.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert list(tmp_path.iterdir()) == []
