"""A scored trajectory comes in; admitted, duplicate or capped goes out."""

from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import Poison
from synthbench.chassis.failpoints import failpoint
from synthbench.contracts.events import TrajectoryCurated, TrajectoryScored
from synthbench.contracts.ids import derived_id
from synthbench.contracts.trajectory import Trajectory
from synthbench.diversity.adapters.store import Comparison, DiversityStore
from synthbench.diversity.domain.canonical import canonical_text
from synthbench.diversity.domain.decision import CurationDecision, comparison_class, decide
from synthbench.diversity.domain.fingerprint import Fingerprint, fingerprint
from synthbench.diversity.settings import DiversitySettings
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt
from synthbench.storage.trajectories import read_trajectory

POLICY = "default-1"


class DiversityHandlers:
    """Diversity's reaction to events."""

    def __init__(self, settings: DiversitySettings, store: DiversityStore, artifacts: ArtifactStore) -> None:
        self._settings = settings
        self._store = store
        self._artifacts = artifacts

    async def on_scored(self, delivery: Delivery[TrajectoryScored]) -> None:
        """Fingerprint a trajectory; then decide and announce in one transaction."""
        scored = delivery.event
        own = fingerprint(canonical_text(await self._read(scored)))
        group = comparison_class(scored.verdict, simulated=scored.summary.simulated)
        event_id = derived_id("curated", scored.trajectory_id, POLICY)
        async with self._store.comparing(group, POLICY) as comparison:
            if await comparison.is_curated(scored.trajectory_id):
                await comparison.announce_again(event_id)
                return
            curated = _curated(scored, await self._decide(comparison, scored.summary.task_name, own))
            failpoint("diversity.decided")
            await comparison.keep(curated, own, scored.summary.task_name)
            await comparison.announce(curated, event_id)

    async def _decide(self, comparison: Comparison, task: str, own: Fingerprint) -> CurationDecision:
        return decide(
            own,
            await comparison.similar(own),
            threshold=self._settings.duplicate_similarity,
            admitted_of_task=await comparison.admitted_of_task(task),
            max_per_task=self._settings.max_per_task,
        )

    async def _read(self, scored: TrajectoryScored) -> Trajectory:
        try:
            return await read_trajectory(self._artifacts, scored.artifact.uri)
        except ArtifactCorrupt as error:
            raise Poison(f"trajectory {scored.trajectory_id} cannot be read: {error}") from error


def _curated(scored: TrajectoryScored, decision: CurationDecision) -> TrajectoryCurated:
    return TrajectoryCurated(
        **scored.attempt_scope.fields,
        trajectory_id=scored.trajectory_id,
        status=decision.status,
        duplicate_of=decision.duplicate_of,
        similarity=decision.similarity,
        novelty=None if decision.similarity is None else 1 - decision.similarity,
        verdict=scored.verdict,
        policy=POLICY,
    )
