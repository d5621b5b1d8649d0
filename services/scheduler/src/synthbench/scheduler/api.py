"""The scheduler's HTTP API: what was submitted, and how far it is."""

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Path, Query

from synthbench.chassis.access import Role, requires
from synthbench.contracts.numbers import LARGEST
from synthbench.contracts.problem import documented
from synthbench.scheduler.adapters.overviews import MOVABLE, ROLLOUTS, SUBMISSIONS, Overviews
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.storage.api import answer_refusals
from synthbench.storage.api_calls import ApiCalls

_Campaign = Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$")]
_Named = Annotated[str, Path(max_length=200, pattern="^[^\\x00]*$")]


def build_api(store: SchedulerStore, overviews: Overviews, calls: ApiCalls) -> FastAPI:
    """Make the FastAPI app; the chassis guards and serves it."""
    app = FastAPI(title="synth-bench scheduler", version="1", docs_url=None, redoc_url=None)
    answer_refusals(app)

    @app.get("/v1/submissions", tags=["submissions"], responses=documented(400))
    async def list_submissions(
        state: Literal["open", "done", "rejected", "cancelled", "failed"] | None = None,
        campaign: _Campaign = None,
        movable: bool = False,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """Submissions, newest first; `movable` leaves out those of which everything waits in a paused campaign."""
        also = [MOVABLE] if movable else []
        rows, behind = await overviews.page(SUBMISSIONS, {"state": state, "campaign": campaign}, cursor, limit, *also)
        return {"submissions": rows, "next_cursor": behind}

    @app.get("/v1/submissions/{submission_id}", tags=["submissions"], responses=documented(404))
    async def get_submission(submission_id: UUID) -> dict[str, Any]:
        """One submission with its rollouts and their attempts."""
        found = await overviews.submission(submission_id)
        if found is None:
            raise HTTPException(404, f"no submission {submission_id}")
        attempts = await overviews.attempts_of_submission(submission_id)
        rollouts = await overviews.rollouts_of_submission(submission_id)
        for rollout in rollouts:
            mine = [attempt for attempt in attempts if attempt["rollout_id"] == rollout["rollout_id"]]
            rollout["attempts"] = [{k: v for k, v in attempt.items() if k != "rollout_id"} for attempt in mine]
        return {**found, "rollouts": rollouts}

    @app.get("/v1/work", tags=["submissions"])
    async def work_left() -> dict[str, Any]:
        """Count submissions, the open ones among them, and their unfinished rollouts by state."""
        return {**await overviews.submission_counts(), "rollouts": await overviews.unfinished_rollouts()}

    @app.get("/v1/quarantine", tags=["tasks"])
    async def list_quarantine() -> dict[str, Any]:
        """Tasks that are set aside because they only ever failed by our own doing."""
        return {"tasks": await overviews.quarantined()}

    @app.delete("/v1/quarantine/{digest}", tags=["tasks"], responses=documented(404))
    async def release_task(digest: _Named) -> dict[str, Any]:
        """Let a task be submitted again; its earlier failures do not count any more."""
        async with store.transaction() as transaction:
            released = await transaction.quarantine.release(digest)
        if not released:
            raise HTTPException(404, f"no task {digest} in quarantine")
        return {"released": digest}

    _ = (list_submissions, get_submission, work_left, list_quarantine, release_task)
    _add_rollouts(app, overviews)
    _add_campaigns(app, store, overviews)

    @app.get("/v1/api-calls", tags=["access"], dependencies=[Depends(requires(Role.ADMIN))])
    async def api_calls(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, before: Annotated[int | None, Query(ge=1, le=2**62)] = None
    ) -> dict[str, Any]:
        """Calls that changed something by this API, or were refused for a role, newest first; `before` is an id."""
        return {"calls": await calls.listed(limit, before)}

    _ = api_calls
    return app


def _add_rollouts(app: FastAPI, overviews: Overviews) -> None:
    @app.get("/v1/rollouts", tags=["rollouts"], responses=documented(400))
    async def list_rollouts(
        state: Literal["planned", "ready", "running", "closed", "curated", "failed", "cancelled"] | None = None,
        campaign: _Campaign = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """Rollouts, newest first; `next_cursor` asks for the following page."""
        rows, behind = await overviews.page(ROLLOUTS, {"state": state, "campaign": campaign}, cursor, limit)
        return {"rollouts": rows, "next_cursor": behind}

    @app.get("/v1/rollouts/{rollout_id}", tags=["rollouts"], responses=documented(404))
    async def get_rollout(rollout_id: UUID) -> dict[str, Any]:
        """One rollout as it was planned, with its attempts."""
        found = await overviews.rollout(rollout_id)
        if found is None:
            raise HTTPException(404, f"no rollout {rollout_id}")
        return {**found, "attempts": await overviews.attempts_of_rollout(rollout_id)}

    _ = (list_rollouts, get_rollout)


def _add_campaigns(app: FastAPI, store: SchedulerStore, overviews: Overviews) -> None:
    @app.get("/v1/campaigns", tags=["campaigns"])
    async def list_campaigns() -> dict[str, Any]:
        """Campaigns with their caps, and why they pause; `*` is all that cost money."""
        return {"campaigns": await overviews.campaigns()}

    @app.post("/v1/campaigns/{campaign}/resume", tags=["campaigns"], responses=documented(404))
    async def resume_campaign(
        campaign: _Named, max_cost_microusd: Annotated[int | None, Query(ge=0, le=LARGEST)] = None
    ) -> dict[str, Any]:
        """Let a paused campaign go on, with a new cap if one is named."""
        async with store.transaction() as transaction:
            resumed = await transaction.campaigns.resume(campaign, max_cost_microusd)
        if resumed is None:
            raise HTTPException(404, f"no campaign {campaign}")
        return asdict(resumed)

    _ = (list_campaigns, resume_campaign)
