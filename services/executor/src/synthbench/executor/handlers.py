"""Ready rollouts and wished-for verifications."""

from uuid import UUID

from prometheus_client import Counter, Gauge

from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import Drop, Retry
from synthbench.chassis.failpoints import failpoint, failpoint_soon
from synthbench.chassis.telemetry import current_trace
from synthbench.contracts.cloudevents import Envelope, encode
from synthbench.contracts.events import TaskReady, VerificationFinished, VerificationRequested
from synthbench.contracts.ids import derived_id
from synthbench.contracts.journal import verification_key
from synthbench.contracts.registry import arrives_as
from synthbench.contracts.rpc import CLAIM, ClaimReply, ClaimRequest
from synthbench.contracts.verification import VerificationResult
from synthbench.executor.attempt.run import AttemptRun
from synthbench.executor.attempt.services import AttemptServices
from synthbench.executor.domain.endings import InfraFailure
from synthbench.executor.verification import verify
from synthbench.storage.artifacts import key_uri
from synthbench.storage.errors import ArtifactConflict, ArtifactCorrupt, ArtifactNotFound

_AT_WORK_SECONDS = 5.0
RUNNING = Gauge("synthbench_attempts_running", "Attempts at work in this process")
CLAIMS = Counter("synthbench_claims_total", "Claims by answer", ["status"])


class ExecutorHandlers:
    """The executor's reactions to events."""

    def __init__(self, services: AttemptServices) -> None:
        self._services = services
        self._at_work: set[UUID] = set()

    async def on_ready(self, delivery: Delivery[TaskReady]) -> None:
        """Claim the rollout, and run the attempt that is granted.

        A second message about it (an old one, delivered again) waits: to the scheduler its claim would look like ours,
        asked again because the answer was lost, and it would be granted the same attempt.
        """
        body = delivery.event
        if body.rollout_id in self._at_work:
            raise Retry("this executor is at work on it", delay=_AT_WORK_SECONDS)
        self._at_work.add(body.rollout_id)
        try:
            await self._claim(body)
        finally:
            self._at_work.discard(body.rollout_id)

    async def _claim(self, body: TaskReady) -> None:
        services = self._services
        failpoint("executor.fetched")
        request = ClaimRequest(rollout_id=body.rollout_id, executor=services.executor, pool=body.rollout.pool)
        grant = await services.bus.request(CLAIM, request, ClaimReply, timeout=10.0)
        CLAIMS.labels(grant.status).inc()
        failpoint("executor.claimed")
        if grant.status == "busy":
            raise Retry(grant.reason, delay=max(0.5, grant.retry_after))
        if grant.status == "gone":
            raise Drop(grant.reason)
        with RUNNING.track_inprogress():
            await AttemptRun(services, grant).run()
        failpoint("executor.reported")

    async def on_verification(self, delivery: Delivery[VerificationRequested]) -> None:
        """Verify a change again, for whoever asks; the same answer for each time that this is delivered."""
        wanted = delivery.event
        services, asker = self._services, delivery.sender
        if arrives_as(f"{delivery.envelope.spec.name}.{wanted.pool}", asker) != delivery.message.subject:
            raise Drop(f"{asker} asked on {delivery.message.subject} for pool {wanted.pool}")
        finished = await self._answered(asker, wanted) or await self._answer(asker, wanted)
        failpoint("executor.answered_verification")
        event_id = derived_id("verification.finished", asker, wanted.verification_id)
        envelope = Envelope(finished, services.bus.source, event_id, trace=current_trace())
        message = encode(envelope)
        await services.bus.publish_encoded(envelope, message)
        services.recent.add(envelope, message)

    async def _answered(self, asker: str, wanted: VerificationRequested) -> VerificationFinished | None:
        try:
            kept = await self._services.store.get(key_uri(verification_key(asker, wanted.verification_id)))
        except ArtifactNotFound:
            return None
        return VerificationFinished.model_validate_json(kept)

    async def _answer(self, asker: str, wanted: VerificationRequested) -> VerificationFinished:
        """Verify, and keep the result; where somebody else was faster, theirs counts."""
        services = self._services
        engine = services.engines.get(wanted.pool)
        if engine is None:
            raise Retry(f"this executor has no engine {wanted.pool}; another one may", delay=2.0)
        try:
            package = await services.packages.get(wanted.task_digest)
            changes = [await services.store.get(wanted.diff.uri)] if wanted.diff else []
            failpoint_soon("executor.second_verification")
            result = await verify(
                engine,
                package,
                changes,
                owner=f"verification.{asker}.{wanted.verification_id}",
                tests_engine=services.tests_engines.get(wanted.pool),
                max_memory_mb=services.settings.max_memory_mb,
            )
        except (InfraFailure, ArtifactNotFound, ArtifactCorrupt) as error:
            result = VerificationResult(error=str(error))
        finished = VerificationFinished(
            **wanted.attempt_scope.fields,
            verification_id=wanted.verification_id,
            requested_by=asker,
            executor=services.executor,
            result=result,
        )
        try:
            await services.store.put_named(verification_key(asker, wanted.verification_id), finished.to_json())
        except ArtifactConflict:
            return await self._answered(asker, wanted) or finished
        return finished
