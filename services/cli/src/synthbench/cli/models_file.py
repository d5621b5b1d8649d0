"""`models.toml` as the commands change it: comments and order stay, and only what a command names is touched."""

import os
import re
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError

from synthbench.client.errors import CliError
from synthbench.contracts.loose import as_list, as_object
from synthbench.embedded.datadir import DataDir

_SETTING = "SYNTHBENCH_MODELS_FILE"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,127}$")


def models_file(data: DataDir) -> Path:
    """The file that `SYNTHBENCH_MODELS_FILE` names, else the data folder's own."""
    return Path(os.environ.get(_SETTING) or data.models_file)


class ModelsFile:
    """One models.toml, read whole.

    Raises:
        CliError: it cannot be read, is no TOML, or what a command changes is no table in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.before = path.read_text("utf-8") if path.exists() else ""
            self._content = tomlkit.parse(self.before)
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"{path}: cannot be read: {error}") from error
        except RecursionError as error:
            raise CliError(f"{path}: no TOML: it is nested too deep") from error
        except (TOMLKitError, ValueError) as error:
            raise CliError(f"{path}: no TOML: {error}") from error

    def tables(self, kind: str) -> dict[str, dict[str, Any]]:
        """The tables `providers`, `models` or `routes`, by name, as plain values."""
        return {name: as_object(table) for name, table in as_object(self._content.unwrap().get(kind)).items()}

    def put(self, kind: str, name: str, fields: Mapping[str, Any]) -> None:
        """Make a table, or change the named fields of one that is there."""
        if not _NAME.match(name):
            raise CliError(f"{name!r} is no name of a model or provider", exit_code=2)
        self._content.setdefault(kind, tomlkit.table(is_super_table=True))
        holder = self._holder(kind)
        holder.setdefault(name, tomlkit.table())
        table = self._table(holder, name, f"{kind}.{name}")
        for field, value in fields.items():
            table[field] = value

    def unset(self, kind: str, name: str, field: str) -> None:
        """Take one field away, if it is there."""
        holder = self._holder(kind)
        if name in holder:
            self._table(holder, name, f"{kind}.{name}").pop(field, None)

    def remove(self, kind: str, name: str) -> None:
        """Take a table away, if it is there."""
        holder = self._holder(kind)
        holder.pop(name, None)
        if not holder and kind in self._content:
            self._content.pop(kind)  # pyright: ignore[reportUnknownMemberType] - tomlkit types a document as a bare dict

    def _holder(self, kind: str) -> MutableMapping[str, Any]:
        """The table of tables of a kind; an empty one that is in no file, where there is none."""
        return self._table(self._content, kind, kind) if kind in self._content else {}

    def _table(self, holder: MutableMapping[str, Any], name: str, shown: str) -> MutableMapping[str, Any]:
        found = holder[name]
        if not isinstance(found, MutableMapping):
            raise CliError(f"{self.path}: {shown} is no table; write it as [{shown}]")
        return cast("MutableMapping[str, Any]", found)

    def users_of(self, model: str) -> list[str]:
        """Routes that name a model."""
        return [name for name, route in self.tables("routes").items() if model in as_list(route.get("models"))]

    def write(self, text: str | None = None) -> None:
        """Put it in place whole: what was changed, or another text.

        Raises:
            CliError: it cannot be written, or holds what is no text, such as a path that is not UTF-8.
        """
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            temporary.write_bytes((tomlkit.dumps(self._content) if text is None else text).encode())
            if self.path.exists():
                temporary.chmod(self.path.stat().st_mode & 0o777)
            temporary.replace(self.path)
        except UnicodeEncodeError as error:
            wrong = error.object[error.start : error.end][:40]
            raise CliError(f"{self.path}: cannot be written: {wrong!r} is no text in UTF-8") from error
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise CliError(f"{self.path}: cannot be written: {error.strerror}") from error
