"""One service's access to Postgres: a psycopg pool whose connections live in the service's own schema."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout
from pydantic import SecretStr

from synthbench.storage.errors import DatabaseUnavailable

Connection = AsyncConnection[dict[str, Any]]

_CONNECT_SECONDS = 5


class Database:
    """A pool of connections with `search_path` set to one schema.

    Args:
        dsn: libpq connection string or URL.
        schema: the service's schema; nobody else reads it.
        min_size, max_size: connections kept, and at most.
        statement_seconds: a statement that runs longer is cancelled by the server.
        wait_seconds: how long a caller waits for a free connection.
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
    ) -> None:
        self.schema = schema
        self.place = place_of(dsn)
        self.dsn = dsn
        milliseconds = int(statement_seconds * 1000)
        self._pool = AsyncConnectionPool[Connection](
            make_conninfo(
                dsn.get_secret_value(),
                connect_timeout=_CONNECT_SECONDS,
                application_name=f"synth-bench {schema}",
                options=f"-c search_path={schema} -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
                " -c idle_in_transaction_session_timeout=60000",
            ),
            kwargs={"row_factory": dict_row},
            min_size=min_size,
            max_size=max_size,
            timeout=wait_seconds,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Connect.

        Raises:
            DatabaseUnavailable: nothing answers within 15 s.
        """
        try:
            await self._pool.open(wait=True, timeout=15)
        except (PoolTimeout, OperationalError) as error:
            await self._pool.close(timeout=1)
            raise DatabaseUnavailable(f"no Postgres at {self.place}: start it, or set SYNTHBENCH_POSTGRES_DSN") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=5)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection in a transaction of its own: committed at the end, rolled back on an error.

        Raises:
            DatabaseUnavailable: no connection could be had, or it broke in between.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout, PoolClosed) as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise DatabaseUnavailable(f"Postgres at {self.place}: {reason}") from error

    def transaction(self) -> Any:
        """Same as `connection`; says at the call that a transaction is what matters."""
        return self.connection()

    async def ping(self) -> None:
        """Ask for one row; for readiness."""
        async with self.connection() as connection:
            await connection.execute("select 1")


def place_of(dsn: SecretStr) -> str:
    """Return host:port/database of a DSN, without user and password."""
    parts = conninfo_to_dict(dsn.get_secret_value())
    return f"{parts.get('host', 'local socket')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
