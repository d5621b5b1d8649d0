"""What operators ask the ledger: costs and budgets. On a port of its own, away from the models' callers."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from pydantic import BeforeValidator

from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.storage.api import answer_refusals
from synthbench.storage.database import Database


def _written_out(value: object) -> object:
    if isinstance(value, str) and "-" not in value.lstrip("-"):
        raise ValueError("write a date or a time by ISO 8601, such as 2026-11-25")
    return value


_Moment = Annotated[datetime | date | None, BeforeValidator(_written_out)]
_Name = Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$")]


def admin_app(database: Database) -> FastAPI:
    """Make the app; whoever serves it guards it."""
    app = FastAPI(title="synth-bench ledger", version="1", docs_url=None, redoc_url=None)
    answer_refusals(app)

    async def rows(query: str, **parameters: Any) -> list[dict[str, Any]]:
        async with database.connection() as connection:
            return await (await connection.execute(SQL[query], parameters)).fetchall()

    @app.get("/v1/costs", tags=["usage"])
    async def costs(
        by: Literal["model", "campaign", "category", "day"] = "model",
        campaign: _Name = None,
        since: _Moment = None,
        until: _Moment = None,
    ) -> dict[str, Any]:
        """What model calls cost, and their tokens, added up; moments without a zone are UTC."""
        found = await rows("cost_by", by=by, campaign=campaign, since=since, until=until)
        return {"by": by, "costs": found}

    @app.get("/v1/budgets", tags=["usage"])
    async def budgets() -> dict[str, Any]:
        """Every budget that attempts share."""
        return {"budgets": await rows("budgets")}

    _ = (costs, budgets)
    return app
