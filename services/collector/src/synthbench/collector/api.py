"""The collector's HTTP API: the catalogue."""

import hashlib
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from psycopg import sql
from pydantic import Field
from starlette.routing import Match, Route

from synthbench.collector.adapters.listing import ATTEMPTS, COLUMNS, NEWEST, count, listing, sums, values_of
from synthbench.collector.archive import Archive
from synthbench.collector.domain.facets import NAMED, text_values, warnings
from synthbench.collector.domain.filtering import Filter, FilterError, parse
from synthbench.collector.domain.statistics import GROUPS, summarised
from synthbench.collector.handlers import SQL
from synthbench.collector.imports import Imports, NotImportable
from synthbench.collector.keeping import Keeping
from synthbench.collector.operations import keeping_router, rebuild_router
from synthbench.collector.rebuild import Rebuild
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.problem import documented
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.api import answer_refusals
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database
from synthbench.storage.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    NoArtifactUri,
    NotSupported,
)
from synthbench.storage.trajectories import StoredTrajectory, read_trajectory

_PAGE = 500
_STORED = documented(404, 410, 500, 503)
Row = dict[str, Any]
_K = Annotated[int, Field(ge=1, le=1000)]
_Campaign = Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$")]
_Attempt = Annotated[int, Path(ge=1, le=1_000_000)]


class Catalogue:
    """What the API asks of the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, query: str, **parameters: Any) -> list[Row]:
        """The rows of a named query."""
        async with self._database.connection() as connection:
            return await (await connection.execute(SQL[query], parameters)).fetchall()

    async def page(self, wanted: Filter, columns: Sequence[str], behind: Sequence[Any] | None, limit: int) -> list[Row]:
        """Trajectories that fit, newest first."""
        query, values = listing(wanted, columns=columns, behind=behind, limit=limit)
        async with self._database.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def pages(self, wanted: Filter, columns: Sequence[str]) -> AsyncGenerator[list[Row]]:
        """All that fit, newest first, a page at a time."""
        behind: Sequence[Any] | None = None
        while found := await self.page(wanted, columns, behind, _PAGE):
            yield found
            behind = [found[-1][name] for name in NEWEST.columns]

    async def attempts(
        self, submission_id: UUID | None, rollout_id: UUID | None, state: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Row], str | None]:
        """Attempts, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor is none.
        """
        # Written out, so that the index of those that are not stored fits.
        of_state = [sql.SQL("state = {}").format(sql.Literal(state))] if state else []
        where = {"submission_id": submission_id, "rollout_id": rollout_id}
        return await ATTEMPTS.page(self._database, where, cursor, limit, *of_state)

    async def total(self, wanted: Filter) -> int:
        """How many fit."""
        query, values = count(wanted)
        async with self._database.connection() as connection:
            return (await (await connection.execute(query, values)).fetchall())[0]["total"]

    async def warnings(self, wanted: Filter, *, empty: bool) -> list[str]:
        """What a filter asks for that there is not; all values are looked through only where nothing was found."""
        known = dict(NAMED)
        for field in set(text_values(wanted)) - set(NAMED) if empty else ():
            async with self._database.connection() as connection:
                rows = await (await connection.execute(values_of(field))).fetchall()
            known[field] = {row["value"] for row in rows}
        return warnings(wanted, known)

    async def sums(self, wanted: Filter, by: Sequence[str]) -> list[Row]:
        """What `domain.statistics` makes its rows of."""
        query, values = sums(wanted, by)
        async with self._database.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def find(self, trajectory_id: UUID) -> Row:
        """One trajectory; 404 where there is none."""
        found = await self.rows("find_trajectory", trajectory_id=trajectory_id)
        if not found:
            raise HTTPException(404, f"no trajectory {trajectory_id}")
        return found[0]


def build_api(settings: CollectorSettings, database: Database, store: ArtifactStore, archive: Archive) -> FastAPI:
    """Make the FastAPI app; the chassis guards and serves it."""
    app = FastAPI(title="synth-bench catalogue", version="1", docs_url=None, redoc_url=None)
    catalogue = Catalogue(database)
    for router in (
        _lists(catalogue),
        _single(catalogue, store),
        _attempts(catalogue, store),
        _tasks(catalogue),
        _imports(database, store),
        _stats(catalogue),
        keeping_router(database, Keeping(settings, database, archive.log)),
        rebuild_router(archive, lambda: Rebuild(database, store, settings.hot_step_days)),
    ):
        app.include_router(router, prefix="/v1")
    app.add_exception_handler(405, _method_not_allowed)
    answer_refusals(app)
    return app


async def _method_not_allowed(request: Request, _error: Exception) -> Response:
    """With every method of the path: Starlette itself names those of the first route that has it."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in routes if isinstance(route, Route) for method in route.methods or ()}
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": ", ".join(sorted(methods))})


def _lists(catalogue: Catalogue) -> APIRouter:
    router = APIRouter(tags=["trajectories"])

    @router.get("/trajectories", responses=documented(400))
    async def list_trajectories(
        wanted: Annotated[Filter, Depends(_filter)],
        columns: Annotated[list[str], Depends(_columns)],
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        total: Annotated[bool, Query(description="Count all that fit, too.")] = False,
    ) -> dict[str, Any]:
        """Trajectories, newest first; `next_cursor` asks for the following page, `warnings` names unknown values."""
        behind = None if cursor is None else NEWEST.place(cursor)
        found = await catalogue.page(wanted, columns, behind, limit)
        last = found[-1] if len(found) == limit else None
        answer: dict[str, Any] = {
            "trajectories": [_part(row, columns) for row in found],
            "next_cursor": NEWEST.cursor(last) if last else None,
        }
        if behind is None:
            answer["warnings"] = await catalogue.warnings(wanted, empty=not found)
        if total:
            answer["total"] = await catalogue.total(wanted)
        return answer

    @router.get(
        "/trajectories.ndjson",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/x-ndjson": {}}}, **documented(400)},
    )
    async def all_trajectories(
        wanted: Annotated[Filter, Depends(_filter)], columns: Annotated[list[str], Depends(_columns)]
    ) -> StreamingResponse:
        """All that fit, newest first, a JSON object on each line, read page by page."""

        async def lines() -> AsyncGenerator[bytes]:
            async for found in catalogue.pages(wanted, columns):
                for row in found:
                    yield orjson.dumps(_part(row, columns)) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    @router.get(
        "/trajectories.arrow",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/vnd.apache.arrow.stream": {}}}, **documented(400)},
    )
    async def arrow_trajectories(
        wanted: Annotated[Filter, Depends(_filter)], columns: Annotated[list[str], Depends(_columns)]
    ) -> StreamingResponse:
        """All that fit, newest first, as an Arrow IPC stream, read page by page; ids and documents are text."""
        from synthbench.collector.adapters import arrow  # noqa: PLC0415 - a start does not wait for it

        made = arrow.stream(columns, catalogue.pages(wanted, columns))
        return StreamingResponse(made, media_type=arrow.MEDIA_TYPE)

    _ = (list_trajectories, all_trajectories, arrow_trajectories)
    return router


def _single(catalogue: Catalogue, store: ArtifactStore) -> APIRouter:
    router = APIRouter(tags=["trajectories"])

    @router.get("/trajectories/{trajectory_id}", responses={304: {"description": "as it was"}, **documented(404)})
    async def get_trajectory(trajectory_id: UUID, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        """One trajectory's facets, scores and curation; 304 where the asker has them already."""
        content = orjson.dumps(await catalogue.find(trajectory_id))
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        if if_none_match is not None and etag in if_none_match:
            return Response(status_code=304, headers={"etag": etag})
        return Response(content, media_type="application/json", headers={"etag": etag})

    @router.get("/trajectories/{trajectory_id}/content", responses=_STORED)
    async def get_content(trajectory_id: UUID) -> Response:
        """The canonical trajectory itself, as one JSON document."""
        entry = await catalogue.find(trajectory_id)
        with _readable(trajectory_id):
            content = (await read_trajectory(store, entry["artifact"]["uri"])).to_json()
        return Response(content, media_type="application/json", headers={"etag": f'"{entry["artifact"]["digest"]}"'})

    @router.get("/trajectories/{trajectory_id}/steps", responses=_STORED)
    async def get_stored_steps(
        trajectory_id: UUID,
        start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Steps of a stored trajectory from an index on; only their part of it is read."""
        entry = await catalogue.find(trajectory_id)
        with _readable(trajectory_id):
            stored = await StoredTrajectory.open(store, ArtifactRef.model_validate(entry["artifact"]))
            steps = await stored.steps(start, start + limit)
        return Response(
            b'{"total": %d, "steps": [%s]}' % (stored.index.steps, b",".join(step.to_json() for step in steps)),
            media_type="application/json",
        )

    @router.get("/trajectories/{trajectory_id}/link", responses={**_STORED, **documented(409)})
    async def get_link(
        trajectory_id: UUID, seconds: Annotated[int, Query(ge=1, le=604_800)] = 3600
    ) -> dict[str, str | int]:
        """A URL by which anybody may read the stored file for a while, past us; 409 where the store has no links."""
        entry = await catalogue.find(trajectory_id)
        with _readable(trajectory_id):
            try:
                url = await store.presigned(entry["artifact"]["uri"], seconds=seconds)
            except NotSupported as error:
                raise HTTPException(409, str(error)) from error
        return {"url": url, "seconds": seconds, "digest": entry["artifact"]["digest"]}

    _ = (get_trajectory, get_content, get_stored_steps, get_link)
    return router


def _attempts(catalogue: Catalogue, store: ArtifactStore) -> APIRouter:
    router = APIRouter(tags=["attempts"])

    @router.get("/attempts", responses=documented(400))
    async def list_attempts(
        submission_id: UUID | None = None,
        rollout_id: UUID | None = None,
        state: Literal["open", "closing", "stored"] | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> dict[str, Any]:
        """Attempts as the catalogue has heard of them, newest first; `next_cursor` asks for the following page."""
        rows, behind = await catalogue.attempts(submission_id, rollout_id, state, cursor, limit)
        return {"attempts": rows, "next_cursor": behind}

    @router.get("/attempts/{rollout_id}/{attempt}/steps", responses=documented(410, 500, 503))
    async def get_steps(
        rollout_id: UUID,
        attempt: _Attempt,
        after: Annotated[int, Query(ge=-1, le=1_000_000)] = -1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Steps of an attempt as they are recorded, after an index; old ones come from the stored trajectory."""
        found = await catalogue.rows("steps_after", rollout_id=rollout_id, attempt=attempt, after=after, limit=limit)
        texts = [row["body"].encode() for row in found]
        if not texts:
            stored = await catalogue.rows("trajectory_of", rollout_id=rollout_id, attempt=attempt, after=after)
            if stored:
                with _readable(stored[0]["trajectory_id"]):
                    opened = await StoredTrajectory.open(store, ArtifactRef.model_validate(stored[0]["artifact"]))
                    texts = [step.to_json() for step in await opened.steps(after + 1, after + 1 + limit)]
        return Response(b'{"steps": [%s]}' % b",".join(texts), media_type="application/json")

    @router.get("/attempts/{rollout_id}/{attempt}/calls")
    async def get_calls(rollout_id: UUID, attempt: _Attempt) -> dict[str, Any]:
        """Model calls of an attempt."""
        return {"calls": await catalogue.rows("calls_of", rollout_id=rollout_id, attempt=attempt)}

    _ = (list_attempts, get_steps, get_calls)
    return router


def _tasks(catalogue: Catalogue) -> APIRouter:
    router = APIRouter(tags=["tasks"])

    @router.get("/tasks")
    async def list_tasks(
        after: Annotated[str, Query(max_length=500, pattern="^[^\\x00]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Tasks of which there are trajectories, by name; `after` is the last name of a page. How they went: stats."""
        return {"tasks": await catalogue.rows("list_tasks", after=after, limit=limit)}

    _ = list_tasks
    return router


def _stats(catalogue: Catalogue) -> APIRouter:
    router = APIRouter(tags=["statistics"])

    @router.get("/stats", responses=documented(400))
    async def results(
        wanted: Annotated[Filter, Depends(_filter)],
        by: Annotated[str, Query(description="By commas.", max_length=200)] = "model",
        k: Annotated[list[_K] | None, Query(description="For pass@k.", max_length=10)] = None,
    ) -> dict[str, Any]:
        """Results that count, by group: shares with intervals, pass@k, what an accepted one costs."""
        names = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
        unknown = [name for name in names if name not in GROUPS]
        if unknown or not names:
            raise HTTPException(400, f"by: there is no {(unknown or [''])[0][:60]!r}; there are {', '.join(GROUPS)}")
        groups = summarised(await catalogue.sums(wanted, names), names, k or [1])
        return {"groups": groups, "warnings": await catalogue.warnings(wanted, empty=not groups)}

    @router.get("/stats/funnel")
    async def funnel(campaign: _Campaign = None) -> dict[str, Any]:
        """Of each campaign: submitted, ran, stored, solved, scored, accepted, admitted."""
        return {"campaigns": await catalogue.rows("funnel", campaign=campaign)}

    @router.get("/stats/days")
    async def days(campaign: _Campaign = None) -> dict[str, Any]:
        """What was stored on each day (UTC)."""
        return {"days": await catalogue.rows("yield_by_day", campaign=campaign)}

    _ = (results, funnel, days)
    return router


def _imports(database: Database, store: ArtifactStore) -> APIRouter:
    router, imports = APIRouter(tags=["trajectories"]), Imports(database, store)

    @router.post("/imports", responses=documented(400, 410, 500, 503))
    async def take_import(artifact: ArtifactRef) -> dict[str, str]:
        """Take in a trajectory that others made; it lies in the artifact store already."""
        with _readable(artifact.uri):
            try:
                made, state = await imports.take(artifact)
            except (NotImportable, NoArtifactUri, ValueError) as error:
                raise HTTPException(400, str(error)) from error
        return {"trajectory_id": str(made.trajectory_id), "state": state}

    _ = take_import
    return router


def _part(row: Row, columns: Sequence[str]) -> Row:
    return {name: row[name] for name in columns}


@contextmanager
def _readable(what: UUID | str) -> Generator[None]:
    """What the store says of a trajectory, as HTTP has it."""
    try:
        yield
    except ArtifactNotFound as error:
        raise HTTPException(410, str(error)) from error
    except ArtifactCorrupt as error:
        raise HTTPException(500, f"trajectory {what}: {error}") from error
    except ArtifactStoreUnavailable as error:
        raise HTTPException(503, str(error)) from error


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
