"""Assembles the trajectory of a closed attempt: its steps, whether one is missing, its totals. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from synthbench.contracts.events import AttemptClosed, AttemptFinished, AttemptStarted
from synthbench.contracts.ids import derived_id
from synthbench.contracts.records import Timing, Usage
from synthbench.contracts.steps import Step
from synthbench.contracts.trajectory import AttemptContext, Trajectory, TrajectorySummary


@dataclass(frozen=True)
class Assembly:
    """The steps of a closed attempt: how many in a row are there, and which are missing."""

    count: int
    """Length of the longest unbroken prefix whose digests hold."""
    missing: tuple[int, ...] = field(default=())
    """Indices that the report names and that are not there, or are there with another digest."""

    @property
    def complete(self) -> bool:
        """Whether nothing that was reported is missing."""
        return not self.missing


def assemble(digests: Mapping[int, str], expected: Sequence[str] | None) -> Assembly:
    """Compare the steps that arrived with those that the executor reported.

    Args:
        digests: of the steps that are there, by index.
        expected: digests of all steps that the executor reported, in order; None if it never reported.
    """
    count = 0
    while count in digests and (expected is None or expected[count : count + 1] == [digests[count]]):
        count += 1
    if expected is None:
        return Assembly(count)
    return Assembly(count, tuple(i for i, digest in enumerate(expected) if digests.get(i) != digest))


SEARCHED_CHARACTERS = 200_000
"""So much of a trajectory's text is searched: an index entry of Postgres holds at most 1 MB."""


@dataclass
class StepTotals:
    """Sums over the steps of a trajectory, which are added in their order."""

    steps: int = 0
    model: str = ""
    """The model of the last call."""
    usage: Usage = field(default_factory=Usage)
    """Tokens and cost of the attempt's own steps: copied ones were paid for by the attempt that they come from."""
    timing: Timing = field(default_factory=Timing)
    """Seconds of the attempt's own steps."""
    texts: list[str] = field(default_factory=list[str])
    """Messages and tool calls of the agent, `SEARCHED_CHARACTERS` at most."""
    _room: int = SEARCHED_CHARACTERS

    def add(self, step: Step) -> None:
        """Add the next step."""
        self.steps += 1
        for text in (step.action.message, *(f"{call.name} {call.arguments}" for call in step.action.tool_calls)):
            if self._room > 0 and text:
                self.texts.append(text[: self._room])
                self._room -= len(text) + 1
        if step.model_call:
            self.model = step.model_call.model
        if step.copied_from is None:
            self.usage += step.usage
            self.timing = Timing(
                model_seconds=self.timing.model_seconds + step.timing.model_seconds,
                tool_seconds=self.timing.tool_seconds + step.timing.tool_seconds,
                waited_seconds=self.timing.waited_seconds + step.timing.waited_seconds,
            )


def build(
    closed: AttemptClosed, started: AttemptStarted | None, assembly: Assembly, totals: StepTotals, patch: str
) -> Trajectory:
    """Make the canonical trajectory of a closed attempt, but for its steps."""
    report = closed.report
    context = report.context if report else started.context if started else AttemptContext()
    return Trajectory(
        trajectory_id=derived_id("trajectory", closed.rollout_id, closed.attempt),
        rollout=closed.rollout,
        attempt=closed.attempt,
        context=context,
        outcome=closed.outcome,
        detail=closed.reason or (report.detail if report else ""),
        incomplete=_incomplete(closed, assembly),
        reward=_scalar(report),
        verification=report.verification if report else None,
        rewards=report.rewards if report else None,
        diff=report.diff if report else None,
        patch=patch,
        usage=report.usage if report else totals.usage,
        timing=report.timing if report else totals.timing,
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


def searched(trajectory: Trajectory, totals: StepTotals) -> str:
    """The text by which a trajectory is found: its task, its instruction, the agent's messages and calls."""
    text = "\n".join([trajectory.rollout.task.name, trajectory.context.instruction, *totals.texts])
    return text[:SEARCHED_CHARACTERS].replace("\0", " ")


def _incomplete(closed: AttemptClosed, assembly: Assembly) -> str | None:
    if assembly.missing:
        gone = ", ".join(str(index) for index in assembly.missing[:10])
        return f"steps {gone} were reported and are neither on the bus nor in the journal"
    if closed.report is None:
        return f"closed without a report: {closed.reason}"
    return None


def summarise(trajectory: Trajectory, totals: StepTotals) -> TrajectorySummary:
    """The facets of a trajectory."""
    rollout = trajectory.rollout
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
        model=totals.model,
        outcome=trajectory.outcome,
        reward=trajectory.reward,
        steps=totals.steps,
        usage=trajectory.usage,
        seconds=seconds,
        simulated=rollout.simulated,
        forgeable=bool(trajectory.verification and trajectory.verification.forgeable),
    )
