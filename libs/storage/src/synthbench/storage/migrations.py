"""Forward-only migrations. Services only wait for them.

`python -m synthbench.storage.migrations` brings every schema up to date; it may run many times and many at once.
"""

import asyncio
import sys
from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql
from pydantic import SecretStr

from synthbench.chassis.errors import SettingsError
from synthbench.chassis.settings import Settings, load_settings
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import place_of
from synthbench.storage.errors import ArtifactStoreUnavailable, DatabaseUnavailable, MigrationError
from synthbench.storage.schemas import Migration, installed_schemas, load

_LOCK = 0x53594E54  # "SYNT"; the second key of the advisory lock is the schema's hash


def migrate(dsn: SecretStr, schemas: Iterable[tuple[str, str]]) -> list[str]:
    """Bring the schemas up to date; return `schema/0001_name` of what was applied.

    Args:
        dsn: of a role that may create schemas.
        schemas: pairs of schema and the package that holds its migrations.

    Raises:
        DatabaseUnavailable: nothing answers.
        MigrationError: a file was changed after it was applied, or failed.
        SettingsError: the DSN is none.
    """
    place = place_of(dsn)
    try:
        with psycopg.connect(dsn.get_secret_value(), connect_timeout=5) as connection:
            return [line for schema, package in schemas for line in _migrate_schema(connection, schema, load(package))]
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"no Postgres at {place}: {str(error).splitlines()[0]}") from error


def recreate(dsn: SecretStr, versions: Mapping[str, int]) -> None:
    """Drop schemas with all that they hold, and make them again at these versions: what an older release had.

    Args:
        dsn: of a role that may create schemas.
        versions: by name of the schema, from 1 to what is installed here.

    Raises:
        DatabaseUnavailable, MigrationError, SettingsError: as `migrate` does.
    """
    try:
        with psycopg.connect(dsn.get_secret_value(), connect_timeout=5) as connection:
            for schema, package in installed_schemas():
                if schema in versions:
                    connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))
                    _migrate_schema(connection, schema, load(package)[: versions[schema]])
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"no Postgres at {place_of(dsn)}: {str(error).splitlines()[0]}") from error


def _migrate_schema(connection: psycopg.Connection, schema: str, migrations: list[Migration]) -> list[str]:
    """Apply what is missing, all in one transaction under a lock, so that two starters do not collide."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, schema))
        name = sql.Identifier(schema)
        cursor.execute(sql.SQL("create schema if not exists {}").format(name))
        cursor.execute(sql.SQL("set local search_path to {}").format(name))
        cursor.execute(
            "create table if not exists schema_migrations (version int primary key, name text not null,"
            " digest text not null, applied_at timestamptz not null default now())"
        )
        cursor.execute("select version, digest from schema_migrations")
        applied = dict(cursor.fetchall())
        if (newest := max(applied, default=0)) > len(migrations):
            raise MigrationError(
                f"the database was used by a newer synth-bench: its schema {schema} has version {newest}, and this one "
                f"knows {len(migrations)}; install that version again, or restore an older backup into an empty stack"
            )
        done: list[str] = []
        for migration in migrations:
            label = f"{schema}/{migration.version:04}_{migration.name}"
            if migration.version in applied:
                if applied[migration.version] != migration.digest:
                    raise MigrationError(f"{label} was changed after it was applied; add a new migration instead")
                continue
            try:
                cursor.execute(migration.text.encode())
            except psycopg.Error as error:
                raise MigrationError(f"{label}: {str(error).splitlines()[0]}") from error
            cursor.execute(
                "insert into schema_migrations (version, name, digest) values (%s, %s, %s)",
                (migration.version, migration.name, migration.digest),
            )
            done.append(label)
    return done


def migrate_all(dsn: SecretStr) -> list[str]:
    """Migrate every installed service."""
    return migrate(dsn, installed_schemas())


def main() -> int:
    """The one command of compose and Kubernetes: schemas up to date, and the artifact store's folder or bucket made."""
    try:
        settings = load_settings(Settings)
        applied = migrate_all(settings.postgres_dsn)
        asyncio.run(open_store(settings.artifacts_url).prepare())
    except (SettingsError, DatabaseUnavailable, MigrationError, ArtifactStoreUnavailable, ValueError) as error:
        sys.stderr.write(f"migrations: {error}\n")
        return 1
    sys.stdout.write("".join(f"applied {label}\n" for label in applied) or "up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
