"""The course of one attempt: prepare the workspace, let the scaffold work, verify, measure the rewards, report."""

import asyncio
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from synthbench.chassis import genai
from synthbench.chassis.errors import Transient, one_line
from synthbench.chassis.failpoints import failpoint_soon
from synthbench.chassis.tasks import cancel_all
from synthbench.chassis.telemetry import span
from synthbench.contracts.events import AttemptFinished, AttemptStarted
from synthbench.contracts.records import Outcome, Rollout
from synthbench.contracts.rewards import STEPWISE, parse_weights
from synthbench.contracts.rpc import ClaimReply
from synthbench.contracts.trajectory import AttemptContext
from synthbench.executor.adapters.model import GatewayModel
from synthbench.executor.announcing import EventAnnouncer
from synthbench.executor.attempt.lease import LeaseKeeper
from synthbench.executor.attempt.result import AttemptResult, agent_result, failed_result
from synthbench.executor.attempt.services import AttemptServices
from synthbench.executor.capture.agent_socket import reachable
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.endings import Draining, Ending, InfraFailure, Stopped, final_outcome
from synthbench.executor.domain.fault import as_ending
from synthbench.executor.environment import sandbox_info, spec_of
from synthbench.executor.harbor import verify_in_place
from synthbench.executor.recorder import StepRecorder
from synthbench.executor.scaffold import Briefing, Scaffold, World, load_scaffold
from synthbench.executor.shaping import RewardInputs, ShapingBounds, measure
from synthbench.executor.verification import verify
from synthbench.executor.workspace.kept_files import keep_files
from synthbench.executor.workspace.preparing import PreparedWorkspace, prepare_workspace, resumable
from synthbench.sandbox.diff import Diff
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.storage.errors import ArtifactConflict
from synthbench.tasks import TaskPackage

VERSION = "0.1.0"
_LAST_REPORT_SECONDS = 5.0


class AttemptRun:
    """One granted attempt."""

    def __init__(self, services: AttemptServices, grant: ClaimReply) -> None:
        assert grant.rollout is not None
        self._services = services
        self._grant = grant
        self._rollout: Rollout = grant.rollout
        rollout = self._rollout
        self._scope = rollout.attempt_scope(grant.attempt)
        self._announcer = EventAnnouncer(self._scope, services.bus, services.store, services.recent)
        self._lease = LeaseKeeper(services, grant)
        self._clock = Clock(rollout.limits, draining=services.stop.is_set)
        self._context = AttemptContext(synthbench_version=VERSION, executor=services.executor)
        self._recorder: StepRecorder | None = None
        self._sockets = ExitStack()
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
            result = await self._run_under_lease()
            if result is not None:
                opened.set_attribute("synthbench.outcome", str(result.outcome))
                await self._report(result)

    async def _run_under_lease(self) -> AttemptResult | None:
        """Work while the lease is kept; an order to stop, or our own shutdown, ends the work wherever it is.

        Returns:
            The result; None where the attempt is closed already, and nothing may be reported.
        """
        work = asyncio.create_task(self._work())
        lease = asyncio.create_task(self._lease.keep(lambda: self._clock.steps))
        try:
            await asyncio.wait({work, lease}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not isinstance(work.exception(), Stopped):
                return work.result()
            return self._stopped_result(work if work.done() else lease)
        except asyncio.CancelledError:
            # The step did not end in time: say so, so that the next attempt need not wait for the lease to run out.
            with suppress(Transient, TimeoutError):
                async with asyncio.timeout(_LAST_REPORT_SECONDS):
                    await self._lease.release()
                    await self._report(AttemptResult(Outcome.INFRA_ERROR, "the executor was shut down"))
            raise
        except Draining as error:
            await self._lease.release()
            return AttemptResult(Outcome.INFRA_ERROR, str(error))
        except Transient as error:
            return AttemptResult(Outcome.INFRA_ERROR, one_line(error))
        except Exception as error:  # noqa: BLE001 - told apart, logged and reported
            log = self._services.log
            return failed_result(error, log, agent_began=self._agent_began, steps=self._clock.steps)
        finally:
            await cancel_all(work, lease)
            self._sockets.close()

    def _stopped_result(self, task: "asyncio.Task[Any]") -> AttemptResult | None:
        error = task.exception()
        if not isinstance(error, Stopped):
            return AttemptResult(Outcome.INFRA_ERROR, f"the lease could not be kept: {error}")
        self._services.log.warning("attempt stopped", reason=str(error))
        return AttemptResult(Outcome.CANCELLED, str(error)) if error.cancelled else None

    async def _work(self) -> AttemptResult:
        services, rollout = self._services, self._rollout
        scaffold = load_scaffold(rollout.scaffold)
        package = await services.packages.get(rollout.task.digest)
        engine = services.engines[rollout.pool]
        owner = f"{rollout.rollout_id}.{self._grant.attempt}"
        plain = await spec_of(engine, package, owner, services.settings.max_memory_mb)
        spec, socket = self._sockets.enter_context(await reachable(engine, plain, scaffold, services.settings))
        prepared = await prepare_workspace(engine, spec, services.store, self._grant, scaffold, package)
        sandbox = prepared.sandbox
        try:
            recorder = self._make_recorder(prepared, scaffold, package)
            world = World(
                rollout, package, sandbox, self._make_model(), recorder, self._clock, services.settings, services.log,
                prepared.start, socket,
            )  # fmt: skip
            await self._announce_start(scaffold, world)
            ending, result = await self._run_scaffold(scaffold, world)
            diff = await self._take_diff(prepared, package)
            if package.verified_in_place:
                result.verification = await verify_in_place(sandbox, package)
            result.kept = [*recorder.kept, *await keep_files(sandbox, package, services.store)]
        finally:
            self._context = self._context.model_copy(update={"sandbox": sandbox_info(sandbox)})
            await asyncio.shield(sandbox.close())
        if diff.changes:
            result.diff = await services.store.put(diff.archive, media_type="application/x-tar")
            result.patch = await services.store.put(diff.patch.encode(), media_type="text/x-diff")
        await self._judge(result, ending, diff, package, engine, owner, recorder)
        return result

    def _make_recorder(self, prepared: PreparedWorkspace, scaffold: Scaffold, package: TaskPackage) -> StepRecorder:
        checkpoints = resumable(scaffold, package) or not STEPWISE.keys().isdisjoint(self._weights)
        self._recorder = StepRecorder(
            self._announcer, prepared.sandbox, prepared.now, self._clock, checkpoints=checkpoints
        )
        return self._recorder

    def _make_model(self) -> GatewayModel:
        services = self._services
        return GatewayModel(
            services.http,
            services.settings.gateway_url,
            self._grant.attempt_key,
            self._rollout.route,
            patience=services.settings.gateway_patience_seconds,
        )

    async def _judge(
        self,
        result: AttemptResult,
        ending: Ending,
        diff: Diff,
        package: TaskPackage,
        engine: SandboxEngine,
        owner: str,
        recorder: StepRecorder,
    ) -> None:
        """Run the hidden tests where they did not run in place, and set the result's outcome and rewards.

        Raises:
            InfraFailure: the verification reached no verdict.
        """
        services = self._services
        failpoint_soon("executor.mid_verification")
        verify_archives = partial(
            verify,
            engine,
            package,
            owner=owner,
            tests_engine=services.tests_engines.get(self._rollout.pool),
            max_memory_mb=services.settings.max_memory_mb,
        )
        if result.verification is None:
            result.verification = await verify_archives([diff.archive] if diff.changes else [])
        if result.verification.error is not None:
            raise InfraFailure(f"verification: {result.verification.error}")
        result.outcome = final_outcome(ending, result.verification.reward)
        inputs = RewardInputs(
            package, services.store, recorder.changes, result.verification, len(recorder.digests), verify_archives
        )
        bounds = ShapingBounds(services.settings.shaping_states, services.settings.shaping_seconds)
        result.rewards = await measure(inputs, self._weights, bounds)

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
        started = AttemptStarted(
            **self._scope.fields, rollout=self._rollout, context=self._context, started_at=self._started
        )
        try:
            await self._announcer.announce(started)
        except ArtifactConflict as error:
            raise Stopped(f"somebody began this attempt before, under our name: {error}", cancelled=False) from error

    async def _run_scaffold(self, scaffold: Scaffold, world: World) -> tuple[Ending, AttemptResult]:
        """Take over the steps of before, then let the scaffold work until it ends.

        Raises:
            InfraFailure: the scaffold returned without an ending.
            Exception: any that is not the agent's doing.
        """
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
            return ending, agent_result(ending, error, self._services.log)
        raise InfraFailure(f"scaffold {self._rollout.scaffold} returned without an ending")

    async def _take_diff(self, prepared: PreparedWorkspace, package: TaskPackage) -> Diff:
        """Kill what the agent left running, unless the tests need it, then take its change."""
        if not package.verified_in_place:
            await prepared.sandbox.kill()
        return await prepared.sandbox.diff(prepared.baseline)

    async def _report(self, result: AttemptResult) -> None:
        recorder = self._recorder
        finished = AttemptFinished(
            **self._scope.fields,
            context=self._context,
            outcome=result.outcome,
            detail=result.detail,
            step_digests=recorder.digests if recorder else [],
            verification=result.verification,
            rewards=result.rewards,
            diff=result.diff,
            patch=result.patch,
            kept=result.kept or (recorder.kept if recorder else []),
            permanent=result.permanent,
            out_of_money=result.out_of_money,
            usage=self._clock.usage,
            timing=self._clock.timing,
            started_at=self._started,
            finished_at=datetime.now(UTC),
        )
        await self._announcer.announce(finished)
        self._log_finished(finished)

    def _log_finished(self, finished: AttemptFinished) -> None:
        """Log one line for each attempt, our own failures as warnings."""
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
