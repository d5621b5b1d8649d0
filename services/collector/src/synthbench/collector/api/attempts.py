"""Routes of attempts: which there are, their steps as they are recorded, their model calls."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from synthbench.collector.adapters.reading import CatalogueReader
from synthbench.collector.api.parameters import artifact_errors
from synthbench.contracts.problem import documented
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.trajectories import StoredTrajectory

_Attempt = Annotated[int, Path(ge=1, le=1_000_000)]


def attempts_router(catalogue: CatalogueReader, store: ArtifactStore) -> APIRouter:
    """Routes below `/attempts`."""
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
        rows, next_cursor = await catalogue.attempts(submission_id, rollout_id, state, cursor, limit)
        return {"attempts": rows, "next_cursor": next_cursor}

    @router.get("/attempts/{rollout_id}/{attempt}/steps", responses=documented(410, 500, 503))
    async def get_steps(
        rollout_id: UUID,
        attempt: _Attempt,
        after: Annotated[int, Query(ge=-1, le=1_000_000)] = -1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Steps of an attempt as they are recorded, after an index; old ones come from the stored trajectory."""
        texts = [text.encode() for text in await catalogue.steps_after(rollout_id, attempt, after, limit)]
        if not texts and (file := await catalogue.file_with_steps(rollout_id, attempt, after)):
            with artifact_errors(file.trajectory_id):
                stored = await StoredTrajectory.open(store, file.artifact)
                texts = [step.to_json() for step in await stored.steps(after + 1, after + 1 + limit)]
        return Response(b'{"steps": [%s]}' % b",".join(texts), media_type="application/json")

    @router.get("/attempts/{rollout_id}/{attempt}/calls")
    async def get_calls(rollout_id: UUID, attempt: _Attempt) -> dict[str, Any]:
        """Model calls of an attempt."""
        return {"calls": await catalogue.calls(rollout_id, attempt)}

    _ = (list_attempts, get_steps, get_calls)
    return router
