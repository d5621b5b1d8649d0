"""The admin API of the gateway: costs and budgets of the ledger; the models that there are, and checks of one.

It has a port of its own, away from the models' callers.
"""

import re
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BeforeValidator

from synthbench.llm_gateway.budgets.reports import CostGrouping, LedgerReports
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.model_check import check_model
from synthbench.llm_gateway.models import Models
from synthbench.storage.api import answer_refusals

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")


def _written_out(value: object) -> object:
    if isinstance(value, str) and not _DAY.match(value):  # a number is no moment, whatever it might stand for
        raise ValueError("write a date or a time by ISO 8601, such as 2026-11-25")
    return value


_Moment = Annotated[datetime | date | None, BeforeValidator(_written_out)]
_Name = Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$")]


def admin_app(reports: LedgerReports, models: Models, prices: Prices) -> FastAPI:
    """Make the app; whoever serves it guards it."""
    app = FastAPI(title="synth-bench ledger", version="1", docs_url=None, redoc_url=None)
    answer_refusals(app)

    @app.get("/v1/costs", tags=["usage"])
    async def costs(
        by: CostGrouping = "model",
        campaign: _Name = None,
        since: _Moment = None,
        until: _Moment = None,
    ) -> dict[str, Any]:
        """Costs and tokens of model calls, added up; moments without a zone are UTC."""
        return {"by": by, "costs": await reports.costs(by, campaign=campaign, since=since, until=until)}

    @app.get("/v1/budgets", tags=["usage"])
    async def budgets() -> dict[str, Any]:
        """Every budget that attempts share."""
        return {"budgets": await reports.shared_budgets()}

    @app.get("/v1/models", tags=["models"])
    async def list_models() -> dict[str, Any]:
        """Routes and models that can be named, as models.toml is now; `problem` says why its newest state is not."""
        return {"models": models.names(), "file": str(models.file or ""), "problem": models.problem}

    @app.post("/v1/models/reload", tags=["models"])
    async def reload_models() -> dict[str, Any]:
        """Read models.toml now; `problem` says why it was not taken over."""
        await models.reload()
        return {"problem": models.problem}

    @app.post("/v1/models/test", tags=["models"])
    async def test_model(model: Annotated[str, Query(min_length=1, max_length=200)]) -> dict[str, str]:
        """Ask a model four short questions, and return a finding for each; their cost is in no ledger."""
        return await check_model(models, prices, model)

    _ = (costs, budgets, list_models, reload_models, test_model)
    return app
