"""Putting a closed attempt together: which steps belong to it, whether they are all there, what the record says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from synthbench.contracts.events import AttemptClosed, AttemptFinished, AttemptStarted
from synthbench.contracts.ids import derived_id
from synthbench.contracts.records import Timing, Usage
from synthbench.contracts.steps import Step, step_digest
from synthbench.contracts.trajectory import AttemptContext, Trajectory, TrajectorySummary


@dataclass(frozen=True)
class Assembly:
    """What is there of a closed attempt."""

    steps: tuple[Step, ...]
    """The longest unbroken prefix whose digests hold."""
    missing: tuple[int, ...] = field(default=())
    """Indices that the report names and that are not there, or are there with another digest."""

    @property
    def complete(self) -> bool:
        """Whether nothing that was reported is missing."""
        return not self.missing


def assemble(steps: Mapping[int, Step], expected: Sequence[str] | None) -> Assembly:
    """Order what arrived.

    Args:
        steps: by index.
        expected: the digests of all steps that the executor reported, in order; None if it never reported.
    """
    if expected is None:
        return Assembly(_prefix(steps))
    missing = tuple(i for i, digest in enumerate(expected) if i not in steps or steps[i].digest != digest)
    usable = {i: step for i, step in steps.items() if i < len(expected) and i not in missing}
    return Assembly(_prefix(usable), missing)


def _prefix(steps: Mapping[int, Step]) -> tuple[Step, ...]:
    found: list[Step] = []
    while len(found) in steps:
        found.append(steps[len(found)])
    return tuple(found)


def sound(step: Step) -> bool:
    """Whether a step is what its digest says."""
    return step.digest == step_digest(step)


def build(closed: AttemptClosed, started: AttemptStarted | None, assembly: Assembly, patch: str) -> Trajectory:
    """Make the canonical trajectory of a closed attempt."""
    report = closed.report
    context = report.context if report else started.context if started else AttemptContext()
    own = [step for step in assembly.steps if step.copied_from is None]
    usage = report.usage if report else sum((step.usage for step in own), Usage())
    return Trajectory(
        trajectory_id=derived_id("trajectory", closed.rollout_id, closed.attempt),
        rollout=closed.rollout,
        attempt=closed.attempt,
        context=context,
        steps=list(assembly.steps),
        outcome=closed.outcome,
        detail=closed.reason or (report.detail if report else ""),
        incomplete=_incomplete(closed, assembly),
        reward=_scalar(report),
        verification=report.verification if report else None,
        rewards=report.rewards if report else None,
        diff=report.diff if report else None,
        patch=patch,
        usage=usage,
        timing=report.timing if report else sum_timing(own),
        started_at=report.started_at if report else started.started_at if started else None,
        finished_at=report.finished_at if report else None,
        kept=report.kept if report else [],
    )


def _scalar(report: AttemptFinished | None) -> float:
    if report is None:
        return 0.0
    if report.rewards is not None:
        return report.rewards.scalar
    return report.verification.reward if report.verification else 0.0  # an executor of before there were parts


def sum_timing(steps: Sequence[Step]) -> Timing:
    """Add up where the seconds of the steps went."""
    return Timing(
        model_seconds=sum(step.timing.model_seconds for step in steps),
        tool_seconds=sum(step.timing.tool_seconds for step in steps),
        waited_seconds=sum(step.timing.waited_seconds for step in steps),
    )


def _incomplete(closed: AttemptClosed, assembly: Assembly) -> str | None:
    if assembly.missing:
        gone = ", ".join(str(index) for index in assembly.missing[:10])
        return f"steps {gone} were reported and are neither on the bus nor in the journal"
    if closed.report is None:
        return f"closed without a report: {closed.reason}"
    return None


def summarise(trajectory: Trajectory) -> TrajectorySummary:
    """The facets of a trajectory."""
    rollout = trajectory.rollout
    calls = [step.model_call for step in trajectory.steps if step.model_call]
    seconds = 0.0
    if trajectory.started_at and trajectory.finished_at:
        seconds = (trajectory.finished_at - trajectory.started_at).total_seconds()
    return TrajectorySummary(
        task_name=rollout.task.name,
        task_digest=rollout.task.digest,
        category=rollout.task.category,
        difficulty=rollout.task.difficulty,
        scaffold=rollout.scaffold,
        route=rollout.route,
        model=calls[-1].model if calls else "",
        outcome=trajectory.outcome,
        reward=trajectory.reward,
        steps=len(trajectory.steps),
        usage=trajectory.usage,
        seconds=seconds,
        simulated=rollout.simulated,
        forgeable=bool(trajectory.verification and trajectory.verification.forgeable),
    )
