"""How far many rollouts are, from their events; and what came of them, from the catalogue's entries. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from synthbench.cli.amounts import cost_text
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import AttemptClosed, AttemptStarted, TaskAccepted, TaskRejected, TrajectoryCurated
from synthbench.contracts.records import Outcome

VERDICTS = ("accept", "review", "reject")
_MINUTE, _HOUR = 60, 3600


@dataclass
class Tally:
    """Counts of rollouts that were submitted together."""

    total: int
    """Rollouts that were asked for."""
    samples: Mapping[UUID, int] = field(default_factory=dict[UUID, int])
    """By submission: how many of them are lost when it is rejected."""
    outcomes: Counter[str] = field(default_factory=Counter[str])
    """Of closed attempts that count."""
    curated: int = 0
    given_up: int = 0
    """Rejected, failed by our own doing, or cancelled."""
    cost_microusd: int = 0
    """Of every attempt, also of those that do not count."""
    cost_known: bool = True
    running: set[UUID] = field(default_factory=set[UUID])

    @property
    def done(self) -> int:
        """Rollouts of which nothing more will come."""
        return self.curated + self.given_up

    def apply(self, envelope: Envelope) -> None:
        """Take an event in."""
        match envelope.body:
            case TaskAccepted() as accepted:
                self.total += len(accepted.rollout_ids) - self.samples.get(accepted.submission_id, 1)
            case TaskRejected() as rejected:
                self.given_up += self.samples.get(rejected.submission_id, 1)
            case AttemptStarted() as started:
                self.running.add(started.rollout_id)
            case AttemptClosed() as closed:
                self._close(closed)
            case TrajectoryCurated():
                self.curated += 1
            case _:
                pass

    def _close(self, closed: AttemptClosed) -> None:
        self.running.discard(closed.rollout_id)
        if closed.report is not None:
            self.cost_microusd += closed.report.usage.cost_microusd
            self.cost_known &= closed.report.usage.cost_known
        if closed.counted:
            self.outcomes[str(closed.outcome)] += 1
        elif closed.last or closed.outcome is Outcome.CANCELLED:
            self.given_up += 1

    def line(self, seconds: float) -> str:
        """Say how far it is after so many seconds: counts, outcomes, cost, rate, time left."""
        counts = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        parts = [f"{self.done} of {self.total} finished", f"{len(self.running)} running"]
        if self.given_up:
            parts.append(f"{self.given_up} given up")
        if counts:
            parts.append(counts)
        parts.append(cost_text(self.cost_microusd, known=self.cost_known))
        if self.done and seconds > 0:
            rate = self.done / seconds
            parts.append(f"{rate * _MINUTE:.1f} a minute")
            if self.done < self.total:
                parts.append(f"about {duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time span for people."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"


@dataclass(frozen=True)
class Totals:
    """A table: one row for each value of a column, and one for all."""

    columns: list[str]
    rows: list[list[str]]


def totals(entries: Sequence[Mapping[str, Any]], by: str) -> Totals:
    """Add up what came of trajectories.

    Args:
        entries: of the catalogue, with `model` set to what people call it.
        by: `model` or `task`.

    Returns:
        How many, how many with each outcome and each verdict, and what they cost.
    """
    outcomes = [name for name, _ in Counter(str(one["outcome"]) for one in entries).most_common()]
    verdicts = [*VERDICTS, *sorted({_verdict(one) for one in entries} - set(VERDICTS))]
    verdicts = [name for name in verdicts if any(_verdict(one) == name for one in entries)]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in entries:
        groups.setdefault(str(one[by]), []).append(one)
    rows = [_row(name, groups[name], outcomes, verdicts) for name in sorted(groups)]
    if len(groups) > 1:
        rows.append(_row("all", entries, outcomes, verdicts))
    return Totals([by, "runs", *outcomes, *verdicts, "cost"], rows)


def _verdict(entry: Mapping[str, Any]) -> str:
    return str(entry.get("verdict") or "no verdict")


def _row(name: str, entries: Sequence[Mapping[str, Any]], outcomes: list[str], verdicts: list[str]) -> list[str]:
    counted, judged = Counter(str(one["outcome"]) for one in entries), Counter(map(_verdict, entries))
    cost = sum(int(one["cost_microusd"]) for one in entries)
    known = all(one["cost_known"] for one in entries)
    shown = [str(counted[one]) for one in outcomes] + [str(judged[one]) for one in verdicts]
    return [name, str(len(entries)), *shown, cost_text(cost, known=known)]
