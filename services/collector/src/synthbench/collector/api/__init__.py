"""The collector's HTTP API: the catalogue."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import Match, Route

from synthbench.collector.adapters.reading import CatalogueReader
from synthbench.collector.api.attempts import attempts_router
from synthbench.collector.api.imports import imports_router
from synthbench.collector.api.operations import rebuild_router, retention_router
from synthbench.collector.api.statistics import statistics_router, tasks_router
from synthbench.collector.api.trajectories import lists_router, trajectory_router
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.importer import TrajectoryImporter
from synthbench.collector.rebuild import CatalogueRebuild
from synthbench.collector.retention import Retention
from synthbench.collector.settings import CollectorSettings
from synthbench.storage.api import answer_refusals
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database


def build_api(
    settings: CollectorSettings, database: Database, store: ArtifactStore, archive: CatalogueArchive
) -> FastAPI:
    """Make the FastAPI app; the chassis guards and serves it."""
    app = FastAPI(title="synth-bench catalogue", version="1", docs_url=None, redoc_url=None)
    catalogue = CatalogueReader(database)
    for router in (
        lists_router(catalogue),
        trajectory_router(catalogue, store),
        attempts_router(catalogue, store),
        tasks_router(catalogue),
        imports_router(TrajectoryImporter(database, store)),
        statistics_router(catalogue),
        retention_router(database, Retention(settings, database, archive.log)),
        rebuild_router(archive, lambda: CatalogueRebuild(database, store, settings.hot_step_days)),
    ):
        app.include_router(router, prefix="/v1")
    app.add_exception_handler(405, _method_not_allowed)
    answer_refusals(app)
    return app


async def _method_not_allowed(request: Request, _error: Exception) -> Response:
    """Answer with every method of the path: Starlette itself names those of the first route that has it."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in routes if isinstance(route, Route) for method in route.methods or ()}
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": ", ".join(sorted(methods))})
