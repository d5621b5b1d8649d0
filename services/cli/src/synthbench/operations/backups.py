"""A stack's record in one file: every table as of one moment, and every artifact.

A tar: `backup.json`, `keys/…` and `bodies/…` of the artifact store, `tables/<schema>.<table>` as `COPY` writes them
(zstd), `end.json`. No secret is in it, and nothing of the bus: what waited there is made again from outboxes and
journals.
"""

import asyncio
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psycopg
import zstandard
from psycopg import sql
from psycopg.rows import DictRow
from pydantic import SecretStr
from rich import filesize

from synthbench.client.errors import CliError
from synthbench.client.waiting import Say, say_nothing
from synthbench.contracts.loose import as_object
from synthbench.operations.operator import ARTIFACTS_LOCK
from synthbench.storage.artifacts import ArtifactStore, key_uri, uri_of_digest
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.migrations import migrate_all, recreate
from synthbench.storage.queries import Queries
from synthbench.storage.schemas import installed_schemas, latest_version

_FORMAT = 1
_CHUNK = 1024 * 1024
_REPORT_EVERY = 1000
_CONNECTION = psycopg.AsyncConnection[DictRow]
_SQL = Queries.load("synthbench.operations", "backups.sql")


class Backup:
    """Writes a backup of one stack.

    Args:
        connection: to the database, in no transaction.
        store: the artifacts.
        say: takes how far the backup is.
    """

    def __init__(self, connection: _CONNECTION, store: ArtifactStore, say: Say = say_nothing) -> None:
        self._say = say
        self._connection = connection
        self._store = store
        self._keys: set[str] = set()
        self._bodies = 0
        self._folder = Path()
        self.problems: list[str] = []
        """Artifacts that cannot be read, a line each; the rest is in the file."""

    async def write(self, path: Path) -> str:
        """Write the file, which is there when it is whole; return in a line what it has.

        Records are copied before the tables and after them: a journal goes once its steps are in the tables.

        Raises:
            CliError: there is such a file, or it cannot be written.
        """
        beside = _unfinished_path(path)
        self._folder = path.parent
        await self._connection.execute(_SQL["share_lock"], {"lock": ARTIFACTS_LOCK})
        try:
            with _opened(beside) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                tables = await self._write_tables(tar)
                await self._write_bodies(tar)
                _add(tar, "end.json", json.dumps({"keys": len(self._keys), "bodies": self._bodies}).encode())
                size = tar.offset
            beside.replace(path)
        except OSError as error:
            raise CliError(f"{path}: {error.strerror or error}") from error
        finally:
            beside.unlink(missing_ok=True)
        return f"{tables} tables, {len(self._keys)} records, {self._bodies} artifacts; {filesize.decimal(size)}"

    async def _write_tables(self, tar: tarfile.TarFile) -> int:
        schemas = [schema for schema, _ in installed_schemas()]
        versions = {schema: latest_version(schema) for schema in schemas}
        made = datetime.now(UTC).isoformat(timespec="seconds")
        _add(tar, "backup.json", json.dumps({"format": _FORMAT, "made": made, "schemas": versions}).encode())
        await self._write_keys(tar)
        async with self._connection.transaction():
            await self._connection.execute(_SQL["one_moment"])
            tables = await (await self._connection.execute(_SQL["tables"], {"schemas": schemas})).fetchall()
            sequences = await (await self._connection.execute(_SQL["sequences"], {"schemas": schemas})).fetchall()
            about = {"tables": _in_order(tables), "sequences": sequences}
            _add(tar, "tables.json", json.dumps(about).encode())
            for table in _in_order(tables):
                await self._write_table(tar, table)
        self._say(f"{len(tables)} tables written")
        await self._write_keys(tar)
        return len(tables)

    async def _write_table(self, tar: tarfile.TarFile, table: Mapping[str, Any]) -> None:
        """Write one table; rows of its partitions are among them."""
        query = sql.SQL(_SQL["copy_out"]).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, table["columns"])),
            table=sql.Identifier(table["schema"], table["name"]),
        )
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            with zstandard.ZstdCompressor(level=3).stream_writer(spool, closefd=False) as packed:
                async with self._connection.cursor().copy(query) as copy:
                    async for block in copy:
                        packed.write(block)
            _add(tar, f"tables/{table['schema']}.{table['name']}", spool)

    async def _write_keys(self, tar: tarfile.TarFile) -> None:
        async for key in self._store.list(""):
            if key not in self._keys and await self._write_artifact(tar, f"keys/{key}", key_uri(key)):
                self._keys.add(key)

    async def _write_bodies(self, tar: tarfile.TarFile) -> None:
        async for body in self._store.bodies():
            if await self._write_artifact(tar, f"bodies/{body.uri.rpartition('/')[2]}", body.uri):
                self._bodies += 1
                if self._bodies % _REPORT_EVERY == 0:
                    self._say(f"{self._bodies} artifacts written")

    async def _write_artifact(self, tar: tarfile.TarFile, name: str, uri: str) -> bool:
        try:
            data = await self._store.get(uri)
        except ArtifactNotFound:  # it went meanwhile
            return False
        except ArtifactCorrupt as error:
            self.problems.append(str(error))
            return False
        _add(tar, name, data)
        return True


class Restore:
    """Restores a backup into an empty stack: all tables, or none. One of an older release is migrated afterwards.

    Args:
        dsn: of a role that may create schemas.
        connection: to the same database, with every migration applied; in no transaction.
        store: where artifacts go; what is there stays.
        say: takes how far the restoring is.
    """

    def __init__(self, dsn: SecretStr, connection: _CONNECTION, store: ArtifactStore, say: Say = say_nothing) -> None:
        self._say = say
        self._dsn = dsn
        self._connection = connection
        self._store = store
        self._keys = self._bodies = 0
        self._about: dict[str, Any] = {}

    async def read(self, path: Path) -> str:
        """Read the file; return in a line what was in it.

        Raises:
            CliError: it is no backup, of a newer release, or cut off; or the stack holds something, or is in use.
        """
        await self._require_empty_stack()
        try:
            with tarfile.open(path, mode="r:") as tar:
                older = _older_schemas(_json(tar, tar.next(), "backup.json"))
                await asyncio.to_thread(recreate, self._dsn, older)
                try:
                    async with self._connection.transaction():
                        await self._take_all(tar, path)
                finally:
                    for line in await asyncio.to_thread(migrate_all, self._dsn):
                        self._say(f"applied {line}")
        except (tarfile.TarError, EOFError) as error:
            raise CliError(f"{path} is no whole backup ({error}): the tables stay as they were") from error
        except OSError as error:
            raise CliError(f"{path}: {error.strerror or error}") from error
        except (psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError) as error:
            reason = str(error).splitlines()[0]
            raise CliError(f"{path} does not fit its own schemas ({reason}): the tables stay as they were") from error
        return f"{len(self._about['tables'])} tables, {self._keys} records, {self._bodies} artifacts"

    async def _take_all(self, tar: tarfile.TarFile, path: Path) -> None:
        ended = False
        for member in tar:
            if member.name == "end.json":
                ended = _json(tar, member, "end.json") == {"keys": self._keys, "bodies": self._bodies}
            else:
                await self._take(tar, member)
        if not ended:
            raise CliError(f"{path} is cut off: the tables stay as they were")
        await self._set_sequences()

    async def _require_empty_stack(self) -> None:
        users = await (await self._connection.execute(_SQL["connected_services"])).fetchone()
        if users is not None:
            raise CliError(f"the database is in use by {users['name']}: stop the services first")
        for table in ("scheduler.submissions", "catalogue.trajectories", "catalogue.attempts"):
            schema, name = table.split(".")
            query = sql.SQL(_SQL["any_row"]).format(table=sql.Identifier(schema, name))
            if await (await self._connection.execute(query)).fetchone() is not None:
                raise CliError(f"the stack has a record already ({table}): restore into an empty one")

    async def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        kind, _, name = member.name.partition("/")
        if member.name == "tables.json":
            self._about = _json(tar, member, "tables.json")
            await self._empty_tables()
        elif kind == "tables":
            await self._fill(name, _content(tar, member))
        elif kind == "keys":
            await self._store.put_named(name, _content(tar, member).read())
            self._keys += 1
        elif kind == "bodies":
            stored = await self._store.put(_content(tar, member).read())
            if stored.uri != uri_of_digest(name):
                raise CliError(f"{member.name} is not what its digest says: the tables stay as they were")
            self._bodies += 1
            if self._bodies % _REPORT_EVERY == 0:
                self._say(f"{self._bodies} artifacts read")

    async def _empty_tables(self) -> None:
        """Empty the tables of a stack without work, and make the partitions that the backup had."""
        await self._connection.execute(_SQL["keep_triggers_quiet"])
        names = [sql.Identifier(table["schema"], table["name"]) for table in self._about["tables"]]
        await self._connection.execute(sql.SQL(_SQL["empty_tables"]).format(tables=sql.SQL(", ").join(names)))
        for table in self._about["tables"]:
            for partition, bound in table["partitions"]:
                await self._connection.execute(
                    sql.SQL(_SQL["make_partition"]).format(
                        partition=sql.Identifier(table["schema"], partition),
                        table=sql.Identifier(table["schema"], table["name"]),
                        bound=sql.SQL(bound),
                    )
                )

    async def _fill(self, name: str, content: IO[bytes]) -> None:
        found = [table for table in self._about["tables"] if f"{table['schema']}.{table['name']}" == name]
        if not found:
            raise CliError(f"tables/{name} is not named in tables.json: the tables stay as they were")
        query = sql.SQL(_SQL["copy_in"]).format(
            table=sql.Identifier(found[0]["schema"], found[0]["name"]),
            columns=sql.SQL(", ").join(map(sql.Identifier, found[0]["columns"])),
        )
        async with self._connection.cursor().copy(query) as copy:
            for block in _unpacked(content):
                await copy.write(block)

    async def _set_sequences(self) -> None:
        for one in self._about["sequences"]:
            name = sql.Identifier(one["schema"], one["name"]).as_string()
            await self._connection.execute(_SQL["set_sequence"], {"name": name, "value": one["last_value"]})


def _in_order(tables: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort tables so that each comes after those that its foreign keys refer to."""
    left, done = list(tables), list[Mapping[str, Any]]()
    while left:
        there = {(table["schema"], table["name"]) for table in done}
        ready = [t for t in left if all((t["schema"], other) in there for other in t["refers_to"])]
        if not ready:
            raise CliError("tables refer to each other in a circle; this cannot be restored in order")
        done += ready
        left = [table for table in left if table not in ready]
    return done


def _older_schemas(about: Mapping[str, Any]) -> dict[str, int]:
    """Return the version of each schema that has a newer one here.

    Raises:
        CliError: the backup is of a newer release, or names no schemas.
    """
    if about.get("format") != _FORMAT:
        raise CliError(f"the backup has format {about.get('format')}; this release reads {_FORMAT}")
    there = as_object(about.get("schemas"))
    here = {schema: latest_version(schema) for schema, _ in installed_schemas()}
    if not there or not all(version in range(1, here.get(schema, 0) + 1) for schema, version in there.items()):
        raise CliError(
            f"the backup is of a newer release (schemas {about.get('schemas')}, here {here}): restore it with that one"
        )
    return {schema: version for schema, version in there.items() if version < here[schema]}


def _unfinished_path(path: Path) -> Path:
    if path.exists():
        raise CliError(f"{path} is there already")
    return path.with_name(f".{path.name}.part")


def _opened(path: Path) -> IO[bytes]:
    """Open the file, readable for its owner alone: it holds what agents did."""
    path.touch(mode=0o600)
    return path.open("wb")


def _add(tar: tarfile.TarFile, name: str, content: bytes | IO[bytes]) -> None:
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    member = tarfile.TarInfo(name)
    member.size = file.seek(0, io.SEEK_END)
    file.seek(0)
    tar.addfile(member, file)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    if content is None:
        raise CliError(f"{member.name} is no file: this is no backup")
    return content


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> dict[str, Any]:
    if member is None or member.name != name:
        raise CliError(f"this is no backup: it has no {name}")
    try:
        found: dict[str, Any] = json.load(_content(tar, member))
    except ValueError as error:
        raise CliError(f"{name} of the backup cannot be read: {error}") from error
    return found


def _unpacked(content: IO[bytes]) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    try:
        while packed := content.read(_CHUNK):
            yield unpacker.decompress(packed)
    except zstandard.ZstdError as error:
        raise CliError(f"a table of the backup cannot be read ({error}): the tables stay as they were") from error
    if not unpacker.eof:
        raise CliError("a table of the backup is cut off: the tables stay as they were")
