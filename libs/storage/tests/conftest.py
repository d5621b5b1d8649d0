"""Packages of migrations made by tests, and the bus for the outbox."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from bus_fixtures import chassis, log, logs, nats, open_service, own_chassis, own_nats, watch

__all__ = ["chassis", "log", "logs", "nats", "open_service", "own_chassis", "own_nats", "watch"]

MakePackage = Callable[..., str]
_numbers = itertools.count()


@pytest.fixture
def schema() -> str:
    """A name that nobody else uses."""
    return f"s{uuid4().hex[:10]}"


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePackage:
    """Make an importable package with these files in its `migrations` folder; return its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**files: str) -> str:
        name = f"migrated_{os.getpid()}_{next(_numbers)}"
        folder = tmp_path / name / "migrations"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for file, text in files.items():
            (folder / f"{file}.sql").write_text(text)
        return name

    return make
