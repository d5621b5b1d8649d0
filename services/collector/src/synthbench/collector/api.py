"""The collector's HTTP API: the catalogue."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, HTTPException, Query, Response

from synthbench.collector.handlers import SQL
from synthbench.collector.imports import Imports, NotImportable
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound, ArtifactStoreUnavailable
from synthbench.storage.trajectories import StoredTrajectory, read_trajectory


def build_api(database: Database, store: ArtifactStore) -> FastAPI:
    """Make the FastAPI app; the chassis guards and serves it."""
    app = FastAPI(title="synth-bench catalogue", version="1", docs_url=None, redoc_url=None)

    async def rows(query: str, **parameters: Any) -> list[dict[str, Any]]:
        async with database.connection() as connection:
            return await (await connection.execute(SQL[query], parameters)).fetchall()

    async def find(trajectory_id: UUID) -> dict[str, Any]:
        found = await rows("find_trajectory", trajectory_id=trajectory_id)
        if not found:
            raise HTTPException(404, f"no trajectory {trajectory_id}")
        return found[0]

    @app.get("/v1/trajectories", tags=["trajectories"])
    async def list_trajectories(  # noqa: PLR0917 - the query's parameters
        task: str | None = None,
        route: str | None = None,
        scaffold: str | None = None,
        outcome: str | None = None,
        verdict: str | None = None,
        curation: str | None = None,
        campaign: str | None = None,
        simulated: bool | None = None,
        counted: bool | None = None,
        submission_id: UUID | None = None,
        rollout_id: UUID | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> dict[str, Any]:
        """Trajectories, newest first; `next_cursor` asks for the following page."""
        before, before_id = _read_cursor(cursor)
        found = await rows(
            "list_trajectories", task=task, route=route, scaffold=scaffold, outcome=outcome, verdict=verdict,
            curation=curation, campaign=campaign, simulated=simulated, counted=counted, submission_id=submission_id,
            rollout_id=rollout_id, before=before, before_id=before_id, limit=limit,
        )  # fmt: skip
        last = found[-1] if len(found) == limit else None
        following = f"{last['stored_at'].isoformat()}|{last['trajectory_id']}" if last else None
        return {"trajectories": found, "next_cursor": following}

    @app.get("/v1/trajectories/{trajectory_id}", tags=["trajectories"])
    async def get_trajectory(trajectory_id: UUID) -> dict[str, Any]:
        """One trajectory's facets, scores and curation."""
        return await find(trajectory_id)

    @app.get("/v1/trajectories/{trajectory_id}/content", tags=["trajectories"])
    async def get_content(trajectory_id: UUID) -> Response:
        """The canonical trajectory itself, as one JSON document."""
        entry = await find(trajectory_id)
        with _readable(trajectory_id):
            content = (await read_trajectory(store, entry["artifact"]["uri"])).to_json()
        return Response(content, media_type="application/json", headers={"etag": f'"{entry["artifact"]["digest"]}"'})

    @app.get("/v1/trajectories/{trajectory_id}/steps", tags=["trajectories"])
    async def get_stored_steps(
        trajectory_id: UUID, start: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> Response:
        """Steps of a stored trajectory from an index on; only their part of it is read."""
        entry = await find(trajectory_id)
        with _readable(trajectory_id):
            stored = await StoredTrajectory.open(store, ArtifactRef.model_validate(entry["artifact"]))
            steps = await stored.steps(start, start + limit)
        return Response(
            b'{"total": %d, "steps": [%s]}' % (stored.index.steps, b",".join(step.to_json() for step in steps)),
            media_type="application/json",
        )

    @app.get("/v1/attempts/{rollout_id}/{attempt}/steps", tags=["attempts"])
    async def get_steps(
        rollout_id: UUID, attempt: int, after: int = -1, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> Response:
        """Steps of an attempt as they are recorded, after an index."""
        found = await rows("steps_after", rollout_id=rollout_id, attempt=attempt, after=after, limit=limit)
        return Response(f'{{"steps": [{",".join(row["body"] for row in found)}]}}', media_type="application/json")

    @app.get("/v1/attempts/{rollout_id}/{attempt}/calls", tags=["attempts"])
    async def get_calls(rollout_id: UUID, attempt: int) -> dict[str, Any]:
        """Model calls of an attempt."""
        return {"calls": await rows("calls_of", rollout_id=rollout_id, attempt=attempt)}

    _ = (list_trajectories, get_trajectory, get_content, get_stored_steps, get_steps, get_calls)
    _add_imports(app, Imports(database, store))
    return app


def _add_imports(app: FastAPI, imports: Imports) -> None:
    @app.post("/v1/imports", tags=["trajectories"])
    async def take_import(artifact: ArtifactRef) -> dict[str, str]:
        """Take in a trajectory that others made; it lies in the artifact store already."""
        with _readable(artifact.uri):
            try:
                made, state = await imports.take(artifact)
            except NotImportable as error:
                raise HTTPException(422, str(error)) from error
        return {"trajectory_id": str(made.trajectory_id), "state": state}

    _ = take_import


@contextmanager
def _readable(trajectory_id: UUID | str) -> Generator[None]:
    """What the store says of a trajectory, as HTTP has it."""
    try:
        yield
    except ArtifactNotFound as error:
        raise HTTPException(410, str(error)) from error
    except ArtifactCorrupt as error:
        raise HTTPException(500, f"trajectory {trajectory_id}: {error}") from error
    except ArtifactStoreUnavailable as error:
        raise HTTPException(503, str(error)) from error


def _read_cursor(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    if cursor is None:
        return None, None
    try:
        time, _, trajectory_id = cursor.partition("|")
        return datetime.fromisoformat(time), UUID(trajectory_id)
    except ValueError as error:
        raise HTTPException(422, "cursor: take it from next_cursor as it is") from error
