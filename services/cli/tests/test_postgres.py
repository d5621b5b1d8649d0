"""The embedded cluster."""

import os
import pwd
from pathlib import Path

import pytest

from synthbench.embedded import postgres
from synthbench.embedded.postgres import EmbeddedPostgres


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it under another user")
async def test_a_cluster_stays_with_the_user_it_was_made_for(servers_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Somebody installs Debian's Postgres later, and with it the user that we would rather have taken."""

    async def start_and_stop() -> tuple[int, int] | None:
        server = EmbeddedPostgres(servers_folder / "own", servers_folder / "own.log", "secret-pass", durable=False)
        await server.start()
        await server.stop()
        return server.user

    first, later = ((entry.pw_uid, entry.pw_gid) for entry in map(pwd.getpwnam, ("daemon", "nobody")))
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: first)
    assert await start_and_stop() == first
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: later)
    assert await start_and_stop() == first
