"""Query parameters that several routes take, and errors of the artifact store as HTTP has them."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Query

from synthbench.collector.adapters.listing import COLUMNS
from synthbench.collector.domain.filtering import Filter, FilterError, parse
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound, ArtifactStoreUnavailable


def _filter(
    text: Annotated[str, Query(alias="filter", description="See docs/catalogue.md.", max_length=4000)] = "",
) -> Filter:
    try:
        return parse(text)
    except FilterError as error:
        raise HTTPException(400, f"filter: {error}") from error


def _columns(
    fields: Annotated[str, Query(description="Names of columns, by commas; empty for all.", max_length=1000)] = "",
) -> list[str]:
    names = [name.strip() for name in fields.split(",") if name.strip()]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise HTTPException(400, f"fields: there is no {unknown[0][:60]!r}; there are {', '.join(COLUMNS)}")
    return names or list(COLUMNS)


FilterParameter = Annotated[Filter, Depends(_filter)]
"""`filter`: which trajectories; 400 where it cannot be read."""
ColumnsParameter = Annotated[list[str], Depends(_columns)]
"""`fields`: which columns, all unless given; 400 where there is no such column."""


@contextmanager
def artifact_errors(what: UUID | str) -> Generator[None]:
    """Answer 410 where the trajectory's file is gone, 500 where it is corrupt, 503 where the store is unavailable."""
    try:
        yield
    except ArtifactNotFound as error:
        raise HTTPException(410, str(error)) from error
    except ArtifactCorrupt as error:
        raise HTTPException(500, f"trajectory {what}: {error}") from error
    except ArtifactStoreUnavailable as error:
        raise HTTPException(503, str(error)) from error
