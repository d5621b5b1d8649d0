"""`backup` and `restore`: a stack's record in one file."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from synthbench.cli import console
from synthbench.client.errors import CliError
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.log_files import log_of
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.operations.backups import Backup, Restore
from synthbench.operations.operator import connected, record, remote_record
from synthbench.storage.artifacts import ArtifactStore, open_store
from synthbench.storage.errors import MigrationError
from synthbench.storage.migrations import migrate_all


async def backup(path: Path, /) -> int:
    """Write every table, as of one moment, and every artifact into a tar file. The stack may be at work.

    For the embedded stack it knows the way. Elsewhere it needs SYNTHBENCH_POSTGRES_DSN and SYNTHBENCH_ARTIFACTS_URL
    beside the addresses. Secrets are not in it.

    Args:
        path: The file, which must not be there yet.
    """
    async with record(console.say) as (dsn, store), connected(dsn) as connection:
        written = Backup(connection, store, console.say)
        console.say(f"{path}: {await written.write(path)}")
    for problem in written.problems:
        console.fail(f"not in it: {problem}")
    return 1 if written.problems else 0


async def restore(path: Path, /) -> None:
    """Fill an empty stack from a backup; it must not be running.

    A backup of an older release is migrated. Elsewhere than in the embedded stack the migrations must have been
    applied, and no service may be connected.
    Afterwards start it; `synth-bench rebuild bus` brings back what was under way.

    Args:
        path: What `backup` wrote.
    """
    async with _stopped() as (dsn, store), connected(dsn) as connection:
        await store.prepare()
        console.say(f"restored: {await Restore(dsn, connection, store, console.say).read(path)}")
    console.say("start the stack, and bring back what was under way with: synth-bench rebuild bus")


@asynccontextmanager
async def _stopped() -> AsyncGenerator[tuple[SecretStr, ArtifactStore]]:
    remote = remote_record()
    if remote is not None:
        yield remote
        return
    data = DataDir()
    lock = data.try_lock("stack")
    if lock is None:
        raise CliError("the stack is running: run `synth-bench down` first")
    postgres = EmbeddedPostgres(data.sub("postgres"), log_of(data, "postgres"), data.secret("postgres"))
    with lock:
        await postgres.start()
        try:
            await asyncio.to_thread(migrate_all, postgres.dsn)
            yield postgres.dsn, open_store(f"file://{data.sub('artifacts')}")
        except MigrationError as error:
            raise CliError(str(error)) from error
        finally:
            await postgres.stop()
