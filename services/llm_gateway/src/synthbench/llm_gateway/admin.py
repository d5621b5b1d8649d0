"""What operators ask the ledger: costs and budgets. On a port of its own, away from the models' callers."""

from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.llm_gateway.domain.costs import grouping
from synthbench.storage.database import Database

_BAD_REQUEST = 400


def admin_app(database: Database) -> Starlette:
    """Make the app; whoever serves it guards it with the API token."""

    async def rows(query: str, **parameters: Any) -> list[dict[str, Any]]:
        async with database.connection() as connection:
            return await (await connection.execute(SQL[query], parameters)).fetchall()

    async def costs(request: Request) -> Response:
        """`GET /v1/costs?by=model|campaign|category|day&campaign=&since=&until=`."""
        asked = request.query_params
        try:
            by = grouping(asked.get("by", "model"))
            since, until = (_moment(asked.get(name)) for name in ("since", "until"))
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, _BAD_REQUEST)
        found = await rows("cost_by", by=by, campaign=asked.get("campaign"), since=since, until=until)
        return JSONResponse({"by": by, "costs": found})

    async def budgets(_request: Request) -> Response:
        """`GET /v1/budgets`: every budget that attempts share."""
        return JSONResponse({"budgets": await rows("budgets")})

    return Starlette(routes=[Route("/v1/costs", costs), Route("/v1/budgets", budgets)])


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 2026-11-24 or 2026-11-24T12:00:00+00:00") from None
