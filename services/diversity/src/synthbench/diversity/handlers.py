"""A scored trajectory comes in; admitted, duplicate or capped goes out."""

from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import Poison
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.outbox import Outbox
from synthbench.contracts.events import CurationStatus, TrajectoryCurated, TrajectoryScored
from synthbench.contracts.ids import derived_id
from synthbench.contracts.trajectory import Trajectory
from synthbench.diversity.domain.canonical import canonical_text
from synthbench.diversity.domain.decision import Decision, Known, comparison_class, decide
from synthbench.diversity.domain.fingerprint import BANDS, Fingerprint, fingerprint
from synthbench.diversity.settings import DiversitySettings
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Connection, Database
from synthbench.storage.errors import ArtifactCorrupt
from synthbench.storage.queries import Queries
from synthbench.storage.trajectories import read_trajectory

SQL = Queries.load("synthbench.diversity.adapters")
POLICY = "default-1"


class Handlers:
    """Diversity's reaction to events."""

    def __init__(self, settings: DiversitySettings, database: Database, store: ArtifactStore, outbox: Outbox) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._outbox = outbox

    async def on_scored(self, delivery: Delivery) -> None:
        """Fingerprint, decide and announce, in one transaction."""
        scored = delivery.envelope.body
        assert isinstance(scored, TrajectoryScored)
        own = fingerprint(canonical_text(await self._read(scored)))
        group = comparison_class(scored.verdict, simulated=scored.summary.simulated)
        async with self._database.transaction() as connection:
            # Two twins that arrive at once must not both pass: one class is decided one by one.
            await connection.execute(SQL["lock_class"], {"class": group})
            identity = {"trajectory_id": scored.trajectory_id, "policy": POLICY}
            if await (await connection.execute(SQL["known"], identity)).fetchone():
                await self._outbox.again(connection, derived_id("curated", scored.trajectory_id, POLICY))
                return
            decision = await self._decide(connection, group, scored, own)
            await self._keep(connection, group, scored, own, decision)

    async def _decide(self, connection: Connection, group: str, scored: TrajectoryScored, own: Fingerprint) -> Decision:
        where = {"class": group, "policy": POLICY, "task": scored.summary.task_name}
        rows = await (await connection.execute(SQL["candidates"], {**where, **_bands(own)})).fetchall()
        counted = await (await connection.execute(SQL["admitted_of_task"], where)).fetchone()
        return decide(
            own,
            [Known(row["trajectory_id"], row["exact"], bytes(row["signature"])) for row in rows],
            threshold=self._settings.duplicate_similarity,
            admitted_of_task=counted["admitted"] if counted else 0,
            max_per_task=self._settings.max_per_task,
        )

    async def _keep(
        self, connection: Connection, group: str, scored: TrajectoryScored, own: Fingerprint, decision: Decision
    ) -> None:
        row = {
            "trajectory_id": scored.trajectory_id,
            "policy": POLICY,
            "class": group,
            "task": scored.summary.task_name,
            "exact": own.exact,
            "signature": own.signature,
            "status": decision.status,
            "duplicate_of": decision.duplicate_of,
            "similarity": decision.similarity,
        }
        await connection.execute(SQL["insert_curation"], row)
        failpoint("diversity.decided")
        if decision.status is CurationStatus.ADMITTED:
            await connection.execute(SQL["insert_bands"], {**row, **_bands(own)})
        curated = TrajectoryCurated(
            submission_id=scored.submission_id,
            campaign=scored.campaign,
            rollout_id=scored.rollout_id,
            attempt=scored.attempt,
            trajectory_id=scored.trajectory_id,
            status=decision.status,
            duplicate_of=decision.duplicate_of,
            similarity=decision.similarity,
            novelty=None if decision.similarity is None else 1 - decision.similarity,
            verdict=scored.verdict,
            policy=POLICY,
        )
        await self._outbox.add(connection, curated, id=derived_id("curated", scored.trajectory_id, POLICY))

    async def _read(self, scored: TrajectoryScored) -> Trajectory:
        try:
            return await read_trajectory(self._store, scored.artifact.uri)
        except ArtifactCorrupt as error:
            raise Poison(f"trajectory {scored.trajectory_id} cannot be read: {error}") from error


def _bands(own: Fingerprint) -> dict[str, object]:
    return {"bands": list(range(BANDS)), "keys": own.bands}
