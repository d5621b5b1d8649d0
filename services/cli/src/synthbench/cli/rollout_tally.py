"""Counting rollouts from their events while they run. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from synthbench.client.amounts import cost_text, duration
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import AttemptClosed, AttemptStarted, TaskAccepted, TaskRejected, TrajectoryCurated
from synthbench.contracts.records import Outcome

_MINUTE = 60


@dataclass
class RolloutTally:
    """Counts of rollouts that were submitted together.

    A rollout is finished once its trajectory is curated, or it is given up. Outcomes are those of finished rollouts
    alone, so that they add up to them.
    """

    total: int
    """Rollouts that were asked for."""
    samples: Mapping[UUID, int] = field(default_factory=dict[UUID, int])
    """The number of rollouts of each submission: all are given up when it is rejected."""
    given_up: int = 0
    """Rejected, failed by our own doing, or cancelled."""
    cost_microusd: int = 0
    """Cost of every attempt, also of those that do not count, in millionths of a US dollar."""
    cost_known: bool = True
    running: set[UUID] = field(default_factory=set[UUID])
    _curated: set[UUID] = field(default_factory=set[UUID])
    _outcomes: dict[UUID, str] = field(default_factory=dict[UUID, str])
    """The outcome of each rollout's attempt that counts."""

    @property
    def curated(self) -> int:
        """Number of rollouts whose trajectory is curated, and whose outcome is known."""
        return self.outcomes.total()

    @property
    def finished(self) -> int:
        """Number of rollouts of which nothing more will come."""
        return self.curated + self.given_up

    @property
    def outcomes(self) -> Counter[str]:
        """Outcomes of the curated rollouts."""
        return Counter(self._outcomes[one] for one in self._curated if one in self._outcomes)

    def apply(self, envelope: Envelope) -> None:
        """Count what an event announces."""
        match envelope.body:
            case TaskAccepted() as accepted:
                self.total += len(accepted.rollout_ids) - self.samples.get(accepted.submission_id, 1)
            case TaskRejected() as rejected:
                self.given_up += self.samples.get(rejected.submission_id, 1)
            case AttemptStarted() as started:
                self.running.add(started.rollout_id)
            case AttemptClosed() as closed:
                self._close(closed)
            case TrajectoryCurated() as curated:
                self._curated.add(curated.rollout_id)
            case _:
                pass

    def _close(self, closed: AttemptClosed) -> None:
        self.running.discard(closed.rollout_id)
        if closed.report is not None:
            self.cost_microusd += closed.report.usage.cost_microusd
            self.cost_known &= closed.report.usage.cost_known
        if closed.counted:
            self._outcomes[closed.rollout_id] = str(closed.outcome)
        elif closed.last or closed.outcome is Outcome.CANCELLED:
            self.given_up += 1

    def line(self, seconds: float) -> str:
        """Return how far the rollouts are after so many seconds: counts, outcomes, cost, rate, time left."""
        parts = [f"{self.finished} of {self.total} finished", f"{len(self.running)} running"]
        if self.given_up:
            parts.append(f"{self.given_up} given up")
        parts += [f"{count} {name}" for name, count in self.outcomes.most_common()]
        parts.append(cost_text(self.cost_microusd, known=self.cost_known))
        if self.finished and seconds > 0:
            rate = self.finished / seconds
            parts.append(f"{rate * _MINUTE:.1f} a minute")
            if self.finished < self.total:
                parts.append(f"about {duration((self.total - self.finished) / rate)} left")
        return ", ".join(parts)
