"""Routes of what the catalogue counts: tasks, results by group, campaigns, days."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field

from synthbench.collector.adapters.reading import CatalogueReader
from synthbench.collector.api.parameters import FilterParameter
from synthbench.collector.domain.statistics import GROUPS, summarised
from synthbench.contracts.problem import documented

_K = Annotated[int, Field(ge=1, le=1000)]
_Campaign = Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$")]


def tasks_router(catalogue: CatalogueReader) -> APIRouter:
    """The route `/tasks`."""
    router = APIRouter(tags=["tasks"])

    @router.get("/tasks")
    async def list_tasks(
        after: Annotated[str, Query(max_length=500, pattern="^[^\\x00]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Tasks of which there are trajectories, by name; `after` is the last name of a page. How they went: stats."""
        return {"tasks": await catalogue.tasks(after, limit)}

    _ = list_tasks
    return router


def statistics_router(catalogue: CatalogueReader) -> APIRouter:
    """Routes below `/stats`."""
    router = APIRouter(tags=["statistics"])

    @router.get("/stats", responses=documented(400))
    async def results(
        wanted: FilterParameter,
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
        """Rollouts by campaign: submitted, ran, stored, solved, scored, accepted, admitted."""
        return {"campaigns": await catalogue.funnel(campaign)}

    @router.get("/stats/days")
    async def days(campaign: _Campaign = None) -> dict[str, Any]:
        """Counted trajectories, tokens and costs by day (UTC)."""
        return {"days": await catalogue.days(campaign)}

    _ = (results, funnel, days)
    return router
