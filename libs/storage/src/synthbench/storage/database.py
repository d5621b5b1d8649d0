"""One service's access to Postgres: a psycopg pool whose connections live in the service's own schema."""

import asyncio
import select
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, DataError, InterfaceError, OperationalError, ProgrammingError, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout, ProgramLimitExceeded, ReadOnlySqlTransaction
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout
from pydantic import SecretStr

from synthbench.chassis.errors import SettingsError
from synthbench.storage.errors import DatabaseUnavailable
from synthbench.storage.parameters import adapt_parameters
from synthbench.storage.schemas import latest_version

Connection = AsyncConnection[dict[str, Any]]

_CONNECT_SECONDS = 5
_OPEN_SECONDS = 15
_POLL_SECONDS = 0.05
_OUTAGES = (OperationalError, InterfaceError, ReadOnlySqlTransaction, IdleInTransactionSessionTimeout)


async def _check(connection: Connection) -> None:
    """Check that a connection is alive, if its server sent something unasked, which mostly is that it shuts down."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool[Connection].check_connection(connection)


async def _configure(connection: Connection) -> None:
    adapt_parameters(connection)


async def _end_session(connection: Connection) -> None:
    """Release advisory locks; a connection that cannot is closed, so that the server releases them."""
    try:
        await connection.execute("reset idle_session_timeout")
        await connection.execute("select pg_advisory_unlock_all()")
        await connection.set_autocommit(False)
    except BaseException:
        await connection.close()
        raise


class Database:
    """A pool of connections with `search_path` set to one schema.

    Args:
        dsn: libpq connection string or URL.
        schema: the schema of the service, which alone reads it.
        min_size, max_size: least and largest number of connections.
        statement_seconds: a statement that runs longer is cancelled by the server.
        wait_seconds: how long a caller waits for a free connection.
        idle_seconds: a transaction in which nothing happens for longer is rolled back by the server, so that a process
            that stands still does not keep its locks.
        session_idle_seconds: the same for a `session`, whose connection the server closes; longer than one artifact
            takes to be written.

    Raises:
        SettingsError: the DSN cannot be parsed.
    """

    def __init__(
        self,
        dsn: SecretStr,
        schema: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        statement_seconds: float = 30.0,
        wait_seconds: float = 10.0,
        idle_seconds: float = 60.0,
        session_idle_seconds: float = 300.0,
    ) -> None:
        self.schema = schema
        self.place = place_of(dsn)
        self.dsn = dsn
        self._idle_session = sql.SQL("set idle_session_timeout = {}").format(int(session_idle_seconds * 1000))
        milliseconds = int(statement_seconds * 1000)
        self._pool = AsyncConnectionPool[Connection](
            make_conninfo(
                dsn.get_secret_value(),
                connect_timeout=_CONNECT_SECONDS,
                application_name=f"synth-bench {schema}",
                options=f"-c search_path={schema} -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
                f" -c idle_in_transaction_session_timeout={int(idle_seconds * 1000)}",
            ),
            kwargs={"row_factory": dict_row},
            min_size=min_size,
            max_size=max_size,
            timeout=wait_seconds,
            check=_check,
            configure=_configure,
            open=False,
        )

    async def open(self, patience: float = 30.0) -> None:
        """Wait for the server and for the migrations of this schema, then connect.

        Raises:
            DatabaseUnavailable: not within `patience` seconds, or the server refuses us; with the reason.
        """
        await self._wait_migrated(patience)
        try:
            await self._pool.open(wait=True, timeout=_OPEN_SECONDS)
        except (PoolTimeout, OperationalError) as error:
            await self._pool.close(timeout=1)
            raise DatabaseUnavailable(f"no connection to Postgres at {self.place}") from error

    async def _wait_migrated(self, patience: float) -> None:
        wanted = latest_version(self.schema)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            try:
                found = await self._version()
                if found >= wanted:
                    return
                problem = (
                    f"schema {self.schema} is at version {found} of {wanted}; "
                    "run `python -m synthbench.storage.migrations`"
                )
            except OperationalError as error:
                problem = f"{_first_line(error)}; start it, or set SYNTHBENCH_POSTGRES_DSN"
                if "authentication failed" in problem or "does not exist" in problem:
                    deadline = 0.0
            if loop.time() > deadline:
                raise DatabaseUnavailable(f"Postgres at {self.place}: {problem}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _version(self) -> int:
        dsn = make_conninfo(self.dsn.get_secret_value(), connect_timeout=_CONNECT_SECONDS)
        async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
            table = sql.Identifier(self.schema, "schema_migrations")
            there = await (await connection.execute("select to_regclass(%s)", (table.as_string(),))).fetchone()
            if there is None or there[0] is None:
                return 0
            cursor = await connection.execute(sql.SQL("select coalesce(max(version), 0) from {}").format(table))
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=5)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Borrow a connection in a transaction of its own: committed at the end, rolled back on an error.

        Raises:
            psycopg.DataError: a value is beyond what a column, an index or a query can hold.
            DatabaseUnavailable: no connection could be had, or it broke in between; or the server cannot write (full,
                read-only), chose this transaction as the victim of a deadlock, or rolled it back for standing idle.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except ProgramLimitExceeded as error:  # the value's fault: it would fail again, however long we wait
            raise DataError(_first_line(error)) from error
        except (*_OUTAGES, PoolTimeout, PoolClosed) as error:
            raise DatabaseUnavailable(f"Postgres at {self.place}: {_first_line(error)}") from error

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Connection]:
        """Borrow a connection without a transaction: each statement commits by itself.

        Work that takes long (a slow artifact store) can hold a session's advisory locks, and no transaction;
        `connection.transaction()` begins one for a part of it. The locks are released at the end, and by the server
        where a process that stands still says nothing for `session_idle_seconds`.

        Raises:
            psycopg.DataError, DatabaseUnavailable: as `connection` does.
        """
        async with self.connection() as connection:
            await connection.set_autocommit(True)
            try:
                await connection.execute(self._idle_session)
                yield connection
            finally:
                await _end_session(connection)

    def transaction(self) -> Any:
        """Same as `connection`; says at the call that a transaction is what matters."""
        return self.connection()

    async def ping(self) -> None:
        """Run a query; for readiness checks."""
        async with self.connection() as connection:
            await connection.execute("select 1")


def place_of(dsn: SecretStr) -> str:
    """Return host:port/database of a DSN, without user and password.

    Raises:
        SettingsError: it cannot be parsed. The message of libpq may hold the password, and is not repeated.
    """
    try:
        parts = conninfo_to_dict(dsn.get_secret_value())
    except ProgrammingError:
        raise SettingsError(
            "SYNTHBENCH_POSTGRES_DSN: no connection string; write postgresql://user:password@host:5432/database, "
            "with reserved characters of the password percent-encoded"
        ) from None
    return f"{parts.get('host', 'local socket')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
