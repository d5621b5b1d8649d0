"""Routes of trajectories: lists of them, and each by its id."""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, HTTPException, Query, Response
from fastapi.responses import StreamingResponse

from synthbench.collector.adapters.listing import NEWEST
from synthbench.collector.adapters.reading import CatalogueReader, Row
from synthbench.collector.api.parameters import ColumnsParameter, FilterParameter, artifact_errors
from synthbench.contracts.problem import documented
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import NotSupported
from synthbench.storage.trajectories import StoredTrajectory, read_trajectory

_STORED = documented(404, 410, 500, 503)


def lists_router(catalogue: CatalogueReader) -> APIRouter:
    """Routes that list trajectories: a page as JSON, or all as JSON lines or Arrow."""
    router = APIRouter(tags=["trajectories"])

    @router.get("/trajectories", responses=documented(400))
    async def list_trajectories(
        wanted: FilterParameter,
        columns: ColumnsParameter,
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
    async def all_trajectories(wanted: FilterParameter, columns: ColumnsParameter) -> StreamingResponse:
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
    async def arrow_trajectories(wanted: FilterParameter, columns: ColumnsParameter) -> StreamingResponse:
        """All that fit, newest first, as an Arrow IPC stream, read page by page; ids and documents are text."""
        from synthbench.collector.adapters import arrow  # noqa: PLC0415 - a start does not wait for it

        stream = arrow.stream(columns, catalogue.pages(wanted, columns))
        return StreamingResponse(stream, media_type=arrow.MEDIA_TYPE)

    _ = (list_trajectories, all_trajectories, arrow_trajectories)
    return router


def trajectory_router(catalogue: CatalogueReader, store: ArtifactStore) -> APIRouter:
    """Routes of one trajectory: its row, its file whole or in parts, a link to it."""
    router = APIRouter(tags=["trajectories"])

    @router.get("/trajectories/{trajectory_id}", responses={304: {"description": "as it was"}, **documented(404)})
    async def get_trajectory(trajectory_id: UUID, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        """One trajectory's facets, scores and curation; 304 where the asker has them already."""
        content = orjson.dumps(await _find(catalogue, trajectory_id))
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        if if_none_match is not None and etag in if_none_match:
            return Response(status_code=304, headers={"etag": etag})
        return Response(content, media_type="application/json", headers={"etag": etag})

    @router.get("/trajectories/{trajectory_id}/content", responses=_STORED)
    async def get_content(trajectory_id: UUID) -> Response:
        """The canonical trajectory itself, as one JSON document."""
        artifact = await _artifact(catalogue, trajectory_id)
        with artifact_errors(trajectory_id):
            content = (await read_trajectory(store, artifact.uri)).to_json()
        return Response(content, media_type="application/json", headers={"etag": f'"{artifact.digest}"'})

    @router.get("/trajectories/{trajectory_id}/steps", responses=_STORED)
    async def get_stored_steps(
        trajectory_id: UUID,
        start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Steps of a stored trajectory from an index on; only their part of it is read."""
        artifact = await _artifact(catalogue, trajectory_id)
        with artifact_errors(trajectory_id):
            stored = await StoredTrajectory.open(store, artifact)
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
        artifact = await _artifact(catalogue, trajectory_id)
        with artifact_errors(trajectory_id):
            try:
                url = await store.presigned(artifact.uri, seconds=seconds)
            except NotSupported as error:
                raise HTTPException(409, str(error)) from error
        return {"url": url, "seconds": seconds, "digest": artifact.digest}

    _ = (get_trajectory, get_content, get_stored_steps, get_link)
    return router


async def _find(catalogue: CatalogueReader, trajectory_id: UUID) -> Row:
    """Return a trajectory's row, or answer 404."""
    found = await catalogue.trajectory(trajectory_id)
    if found is None:
        raise HTTPException(404, f"no trajectory {trajectory_id}")
    return found


async def _artifact(catalogue: CatalogueReader, trajectory_id: UUID) -> ArtifactRef:
    return ArtifactRef.model_validate((await _find(catalogue, trajectory_id))["artifact"])


def _part(row: Row, columns: Sequence[str]) -> Row:
    return {name: row[name] for name in columns}
