"""One attempt from its grant to its report."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import httpx
from prometheus_client import Counter
from structlog.stdlib import BoundLogger

from synthbench.chassis import genai
from synthbench.chassis.bus import Bus, instance_name
from synthbench.chassis.errors import BusUnavailable, RequestRefused, Transient, one_line
from synthbench.chassis.failpoints import failpoint_soon
from synthbench.chassis.tasks import cancel_all
from synthbench.chassis.telemetry import span
from synthbench.contracts.events import AttemptFinished, AttemptStarted
from synthbench.contracts.records import ArtifactRef, KeptFile, Outcome, Rollout
from synthbench.contracts.rewards import STEPWISE, Rewards, parse_weights
from synthbench.contracts.rpc import HEARTBEAT, RELEASE, ClaimReply, Heartbeat, HeartbeatReply, Release, Released
from synthbench.contracts.trajectory import AttemptContext
from synthbench.contracts.verification import VerificationResult
from synthbench.executor.adapters.model import GatewayModel
from synthbench.executor.adapters.packages import Packages
from synthbench.executor.beginning import Ground, break_ground, resumable
from synthbench.executor.capture.place import reachable
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.endings import (
    Draining,
    Ending,
    InfraFailure,
    OutOfMoney,
    PermanentFailure,
    Stopped,
    final_outcome,
)
from synthbench.executor.domain.fault import as_ending, is_agents
from synthbench.executor.environment import sandbox_info, spec_of
from synthbench.executor.harbor import verify_in_place
from synthbench.executor.keeping import keep
from synthbench.executor.recorder import Announcer, Recent, Recorder, Scope
from synthbench.executor.scaffold import Briefing, Scaffold, World, load_scaffold
from synthbench.executor.settings import ExecutorSettings
from synthbench.executor.shaping import Bounds, Evidence, measure
from synthbench.executor.verification import verify
from synthbench.sandbox.diff import Diff
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactConflict
from synthbench.tasks import TaskPackage

VERSION = "0.1.0"
_BEATS_A_LEASE = 3
AGENTS_EXCEPTIONS = Counter(
    "synthbench_agents_exceptions_total", "Exceptions that nobody foresaw, in code that handles what agents produce"
)


@dataclass(frozen=True)
class Services:
    """What attempts of this process share."""

    settings: ExecutorSettings
    bus: Bus
    store: ArtifactStore
    http: httpx.AsyncClient
    engines: Mapping[str, SandboxEngine]
    tests_engines: Mapping[str, SandboxEngine]
    """By pool: what makes the sandboxes of hidden tests there; the pool's own engine where it is not named."""
    packages: Packages
    recent: Recent
    stop: asyncio.Event
    log: BoundLogger

    @property
    def executor(self) -> str:
        """Name of this process."""
        return instance_name("executor")


@dataclass
class _Result:
    """What an attempt came to."""

    outcome: Outcome
    detail: str = ""
    permanent: Literal["", "rollout", "submission"] = ""
    out_of_money: bool = False
    verification: VerificationResult | None = None
    rewards: Rewards | None = None
    diff: ArtifactRef | None = None
    patch: ArtifactRef | None = None
    kept: list[KeptFile] = field(default_factory=list[KeptFile])


class Attempt:
    """One granted attempt."""

    def __init__(self, services: Services, grant: ClaimReply) -> None:
        assert grant.rollout is not None
        self._services = services
        self._grant = grant
        self._rollout: Rollout = grant.rollout
        rollout = self._rollout
        self._scope = Scope(rollout.submission_id, rollout.campaign, rollout.rollout_id, grant.attempt)
        self._announcer = Announcer(self._scope, services.bus, services.store, services.recent)
        self._clock = Clock(rollout.limits, draining=services.stop.is_set)
        self._context = AttemptContext(synthbench_version=VERSION, executor=services.executor)
        self._recorder: Recorder | None = None
        self._places = ExitStack()
        self._weights = parse_weights(services.settings.reward_weights)
        self._started = datetime.now(UTC)
        self._agent_began = False

    async def run(self) -> None:
        """Work and report. A lost lease is not reported: the scheduler has closed the attempt already."""
        rollout = self._rollout
        attributes = {
            genai.OPERATION: genai.INVOKE_AGENT,
            genai.AGENT_NAME: rollout.scaffold,
            genai.CONVERSATION: f"{rollout.rollout_id}/{self._grant.attempt}",
            genai.REQUEST_MODEL: rollout.route or "none",
            "synthbench.task": rollout.task.name,
        }
        with span(f"invoke_agent {rollout.scaffold}", attributes=attributes) as opened:
            result = await self._guarded()
            if result is not None:
                opened.set_attribute("synthbench.outcome", str(result.outcome))
                await self._report(result)

    async def _guarded(self) -> _Result | None:
        """Work under the lease: an order to stop, or our own shutdown, ends it wherever it is."""
        work = asyncio.create_task(self._work())
        lease = asyncio.create_task(self._keep_lease())
        try:
            await asyncio.wait({work, lease}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not isinstance(work.exception(), Stopped):
                return work.result()
            return self._ended_by(work if work.done() else lease)
        except asyncio.CancelledError:
            # The step did not end in time: say so, so that the next attempt need not wait for the lease to run out.
            with suppress(Transient, TimeoutError):
                async with asyncio.timeout(5):
                    await self._release()
                    await self._report(_Result(Outcome.INFRA_ERROR, "the executor was shut down"))
            raise
        except Draining as error:
            await self._release()
            return _Result(Outcome.INFRA_ERROR, str(error))
        except Transient as error:
            return _Result(Outcome.INFRA_ERROR, one_line(error))
        except Exception as error:  # noqa: BLE001 - told apart, logged and reported
            return self._failure(error)
        finally:
            await cancel_all(work, lease)
            self._places.close()

    def _scope_of(self, error: PermanentFailure) -> Literal["rollout", "submission"]:
        """A request that is refused before anything was done is refused to every sample; later it is this one's own."""
        return "rollout" if error.scope == "rollout" and self._clock.steps else "submission"

    def _failure(self, error: Exception) -> _Result:
        """What an attempt came to that ended with an exception: the agent's failure, or ours."""
        if self._agent_began and is_agents(error):
            return self._agents_failure(as_ending(error), error)
        if isinstance(error, InfraFailure | SandboxError):
            permanent = self._scope_of(error) if isinstance(error, PermanentFailure) else ""
            no_money = isinstance(error, OutOfMoney)
            return _Result(Outcome.INFRA_ERROR, str(error), permanent=permanent, out_of_money=no_money)
        self._services.log.error("attempt failed", exc_info=error)
        return _Result(Outcome.INFRA_ERROR, one_line(error))

    def _agents_failure(self, ending: Ending, error: Exception) -> _Result:
        if ending is not error:
            AGENTS_EXCEPTIONS.inc()
            self._services.log.warning("what the agent produced cannot be handled", exc_info=error)
        return _Result(ending.outcome, ending.detail)

    async def _release(self) -> None:
        """Give the rollout back, so that its next attempt begins at once and this one is no failure."""
        wanted = Release(
            rollout_id=self._rollout.rollout_id, attempt=self._grant.attempt, executor=self._services.executor
        )
        with suppress(RequestRefused):
            await self._services.bus.request(RELEASE, wanted, Released, timeout=3.0)

    def _ended_by(self, task: "asyncio.Task[Any]") -> _Result | None:
        error = task.exception()
        if not isinstance(error, Stopped):
            return _Result(Outcome.INFRA_ERROR, f"the lease could not be kept: {error}")
        self._services.log.warning("attempt stopped", reason=str(error))
        return _Result(Outcome.CANCELLED, str(error)) if error.cancelled else None

    async def _keep_lease(self) -> None:
        """Heartbeat until told to stop, or until the lease must have run out."""
        lease = self._grant.lease_seconds
        loop = asyncio.get_running_loop()
        heard = loop.time()
        beat = Heartbeat(
            rollout_id=self._rollout.rollout_id, attempt=self._grant.attempt, executor=self._services.executor
        )
        while True:
            await asyncio.sleep(lease / _BEATS_A_LEASE)
            try:
                current = beat.model_copy(update={"steps": self._clock.steps})
                reply = await self._services.bus.request(
                    HEARTBEAT, current, HeartbeatReply, timeout=lease / _BEATS_A_LEASE
                )
            except (BusUnavailable, RequestRefused) as error:
                if loop.time() - heard > lease:
                    raise Stopped(f"no heartbeat went through for {lease:g} s: {error}", cancelled=False) from error
                continue
            heard = loop.time()
            if reply.order == "stop":
                raise Stopped(reply.reason, cancelled=reply.cancelled)

    async def _work(self) -> _Result:
        services, rollout = self._services, self._rollout
        scaffold = load_scaffold(rollout.scaffold)
        package = await services.packages.get(rollout.task.digest)
        engine = services.engines[rollout.pool]
        owner = f"{rollout.rollout_id}.{self._grant.attempt}"
        plain = await spec_of(engine, package, owner, services.settings.max_memory_mb)
        spec, socket = self._places.enter_context(await reachable(engine, plain, scaffold, services.settings))
        ground = await break_ground(engine, spec, services.store, self._grant, scaffold, package)
        sandbox = ground.sandbox
        try:
            kept = resumable(scaffold, package) or not STEPWISE.keys().isdisjoint(self._weights)
            recorder = Recorder(self._announcer, sandbox, ground.now, self._clock, checkpoints=kept)
            self._recorder = recorder
            model = GatewayModel(
                services.http,
                services.settings.gateway_url,
                self._grant.attempt_key,
                rollout.route,
                patience=services.settings.gateway_patience_seconds,
            )
            world = World(
                rollout, package, sandbox, model, recorder, self._clock, services.settings, services.log, ground.start,
                socket,
            )  # fmt: skip
            await self._announce_start(scaffold, world)
            ending, result = await self._play(scaffold, world)
            diff = await self._taken(ground, package)
            if package.verified_in_place:
                result.verification = await verify_in_place(sandbox, package)
            result.kept = [*recorder.kept, *await keep(sandbox, package, services.store)]
        finally:
            self._context = self._context.model_copy(update={"sandbox": sandbox_info(sandbox)})
            await asyncio.shield(sandbox.close())
        if diff.changes:
            result.diff = await services.store.put(diff.archive, media_type="application/x-tar")
            result.patch = await services.store.put(diff.patch.encode(), media_type="text/x-diff")
        failpoint_soon("executor.mid_verification")
        verified = partial(
            verify,
            engine,
            package,
            owner=spec.owner,
            tests_engine=services.tests_engines.get(rollout.pool),
            max_memory_mb=services.settings.max_memory_mb,
        )
        if result.verification is None:
            result.verification = await verified([diff.archive] if diff.changes else [])
        if result.verification.error is not None:
            raise InfraFailure(f"verification: {result.verification.error}")
        result.outcome = final_outcome(ending, result.verification.reward)
        evidence = Evidence(
            package, services.store, recorder.changes, result.verification, len(recorder.digests), verified
        )
        bounds = Bounds(services.settings.shaping_states, services.settings.shaping_seconds)
        result.rewards = await measure(evidence, self._weights, bounds)
        return result

    async def _announce_start(self, scaffold: Scaffold, world: World) -> None:
        briefing: Briefing = scaffold.briefing(world)
        self._context = self._context.model_copy(
            update={
                "instruction": world.package.instruction,
                "system_prompt": briefing.system_prompt,
                "tools": briefing.tools,
                "prompt_version": briefing.prompt_version,
                "scaffold_version": scaffold.version,
                "sandbox": sandbox_info(world.sandbox),
                "resumed_from": world.start.resumed_from,
                "resumed_attempt": world.start.attempt,
                "lost": world.start.lost,
            }
        )
        started = AttemptStarted.model_validate(
            {
                **self._scope.fields(),
                "rollout": self._rollout,
                "context": self._context,
                "started_at": self._started,
            }
        )
        try:
            await self._announcer.announce(started)
        except ArtifactConflict as error:
            raise Stopped(f"somebody began this attempt before, under our name: {error}", cancelled=False) from error

    async def _play(self, scaffold: Scaffold, world: World) -> tuple[Ending, _Result]:
        try:
            for step in world.start.steps:
                await world.recorder.take_over(step)
            self._agent_began = True
            await scaffold.run(world)
        except Exception as error:  # noqa: BLE001 - those that are not the agent's are raised again
            ending = as_ending(error)
            if world.recorder.finish_reason == "length":
                cut = "the model's last answer was cut off at its token limit (finish_reason: length)"
                ending.detail = f"{ending.detail}; {cut}" if ending.detail else cut
            return ending, self._agents_failure(ending, error)
        raise InfraFailure(f"scaffold {self._rollout.scaffold} returned without an ending")

    async def _taken(self, ground: Ground, package: TaskPackage) -> Diff:
        """Kill what the agent left running, unless the tests need it, then take its change."""
        if not package.verified_in_place:
            await ground.sandbox.kill()
        return await ground.sandbox.diff(ground.baseline)

    async def _report(self, result: _Result) -> None:
        finished = AttemptFinished.model_validate(
            {
                **self._scope.fields(),
                "context": self._context,
                "outcome": result.outcome,
                "detail": result.detail,
                "step_digests": self._recorder.digests if self._recorder else [],
                "verification": result.verification,
                "rewards": result.rewards,
                "diff": result.diff,
                "patch": result.patch,
                "kept": result.kept or (self._recorder.kept if self._recorder else []),
                "permanent": result.permanent,
                "out_of_money": result.out_of_money,
                "usage": self._clock.usage,
                "timing": self._clock.timing,
                "started_at": self._started,
                "finished_at": datetime.now(UTC),
            }
        )
        await self._announcer.announce(finished)
        self._tell(finished)

    def _tell(self, finished: AttemptFinished) -> None:
        """One line for each attempt; our own failures as warnings."""
        log = self._services.log
        (log.warning if finished.outcome is Outcome.INFRA_ERROR else log.info)(
            "attempt finished",
            task=self._rollout.task.name,
            rollout_id=str(self._rollout.rollout_id),
            attempt=self._grant.attempt,
            outcome=str(finished.outcome),
            detail=finished.detail,
            steps=len(finished.step_digests),
            seconds=round((finished.finished_at - finished.started_at).total_seconds(), 3),
        )
