"""The route by which trajectories that were made elsewhere come in."""

from fastapi import APIRouter, HTTPException

from synthbench.collector.api.parameters import artifact_errors
from synthbench.collector.importer import NotImportable, TrajectoryImporter
from synthbench.contracts.problem import documented
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.errors import NoArtifactUri


def imports_router(importer: TrajectoryImporter) -> APIRouter:
    """The route `/imports`."""
    router = APIRouter(tags=["trajectories"])

    @router.post("/imports", responses=documented(400, 410, 500, 503))
    async def take_import(artifact: ArtifactRef) -> dict[str, str]:
        """Take in a trajectory that others made; it lies in the artifact store already."""
        with artifact_errors(artifact.uri):
            try:
                trajectory, state = await importer.take(artifact)
            except (NotImportable, NoArtifactUri, ValueError) as error:
                raise HTTPException(400, str(error)) from error
        return {"trajectory_id": str(trajectory.trajectory_id), "state": state}

    _ = take_import
    return router
