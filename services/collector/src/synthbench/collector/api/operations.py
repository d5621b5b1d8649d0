"""Routes for operators: bytes by table, what is held, the account of API calls, the catalogue restored."""

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, HTTPException, Path, Query
from fastapi.responses import StreamingResponse

from synthbench.chassis.access import Role, requires
from synthbench.chassis.errors import ChassisError
from synthbench.collector.adapters.retention import RetentionStore
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.rebuild import CatalogueRebuild
from synthbench.collector.retention import Retention
from synthbench.contracts.problem import documented
from synthbench.storage.api_calls import ApiCalls
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactCorrupt

_Holder = Annotated[str, Path(max_length=200, pattern="^[A-Za-z0-9][A-Za-z0-9._:-]*$")]


def retention_router(database: Database, retention: Retention) -> APIRouter:
    """Routes for storage use, holds, and the log of API calls."""
    router, holds = APIRouter(tags=["keeping"]), RetentionStore(database)

    @router.get("/storage")
    async def storage() -> dict[str, Any]:
        """Tables and weeks of steps with their bytes, stored trajectories, and what the policy would take next."""
        return await retention.report()

    @router.put("/trajectories/{trajectory_id}/holds/{holder}", responses=documented(404))
    async def hold(trajectory_id: UUID, holder: _Holder) -> dict[str, Any]:
        """Keep a trajectory, whatever the policy says: a dataset names it, or a person wants it."""
        if not await holds.hold(trajectory_id, holder):
            raise HTTPException(404, f"no trajectory {trajectory_id}")
        return {"trajectory_id": trajectory_id, "holder": holder}

    @router.delete("/trajectories/{trajectory_id}/holds/{holder}", responses=documented(404))
    async def release(trajectory_id: UUID, holder: _Holder) -> dict[str, Any]:
        """Hold it no longer."""
        if not await holds.release(trajectory_id, holder):
            raise HTTPException(404, f"{holder} does not hold trajectory {trajectory_id}")
        return {"trajectory_id": trajectory_id, "released": holder}

    @router.get("/api-calls", dependencies=[Depends(requires(Role.ADMIN))])
    async def api_calls(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, before: Annotated[int | None, Query(ge=1, le=2**62)] = None
    ) -> dict[str, Any]:
        """Calls that changed something, or were refused for a role, newest first; `before` is the id of a call."""
        return {"calls": await ApiCalls(database).listed(limit, before)}

    _ = (storage, hold, release, api_calls)
    return router


def rebuild_router(archive: CatalogueArchive, make_rebuild: Callable[[], CatalogueRebuild]) -> APIRouter:
    """The route that restores the catalogue; each request makes a rebuild of its own."""
    router = APIRouter(tags=["keeping"])

    @router.post(
        "/rebuild",
        response_class=StreamingResponse,
        dependencies=[Depends(requires(Role.ADMIN))],
        responses={200: {"content": {"application/x-ndjson": {}}}},
    )
    async def make_again() -> StreamingResponse:
        """Add what the artifact store knows and the tables do not; lines of progress, `done` in the last one."""

        async def lines() -> AsyncGenerator[bytes]:
            try:
                await archive.flush()
                async for progress in make_rebuild().run():
                    yield orjson.dumps(progress) + b"\n"
            except (ChassisError, ArtifactCorrupt) as error:
                yield orjson.dumps({"error": str(error)}) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    _ = make_again
    return router
