"""Schemas and their migration files: `migrations/0001_name.sql`, … in the package of the service that owns one.

A line `-- include: outbox` stands for `synthbench/storage/outbox.sql`, and `-- include: api_calls` for that one.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import entry_points

from synthbench.contracts.ids import sha256_digest
from synthbench.storage.errors import MigrationError

ENTRY_POINTS = "synthbench.migrations"
_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")
_INCLUDED = ("outbox", "api_calls")


@dataclass(frozen=True)
class Migration:
    """One migration file."""

    version: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """The digest of the text as it is applied."""
        return sha256_digest(self.text.encode())


def load(package: str) -> list[Migration]:
    """Read the migrations of a package, in order.

    Raises:
        MigrationError: a file is misnamed, or a number is missing or doubled.
    """
    ours = resources.files("synthbench.storage")
    included = {f"-- include: {name}": ours.joinpath(f"{name}.sql").read_text("utf-8") for name in _INCLUDED}
    found: list[Migration] = []
    for file in resources.files(package).joinpath("migrations").iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.match(file.name)
        if match is None:
            raise MigrationError(f"{package}/migrations/{file.name}: name it 0001_what_it_does.sql")
        text = file.read_text("utf-8")
        for line, content in included.items():
            text = text.replace(line, content)
        found.append(Migration(int(match[1]), match[2], text))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{package}/migrations: numbers must run 0001, 0002, … without gaps")
    return found


@cache
def installed_schemas() -> tuple[tuple[str, str], ...]:
    """Pairs of schema and the package that holds its migrations, by name."""
    found = sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)
    return tuple((entry.name, entry.value) for entry in found)


def latest_version(schema: str) -> int:
    """The version that the installed code needs; 0 for a schema without migrations."""
    package = dict(installed_schemas()).get(schema)
    return len(load(package)) if package else 0
