"""What a bench leaves: a table for people, a JSON file with the figures, and one line of JSON at the end."""

import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs/benchmarks"
QUICK = os.environ.get("QUICK") == "1"
_COMPARE = {"<=": lambda value, bound: value <= bound, ">=": lambda value, bound: value >= bound}
_RAW = 50
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def _kept(values: Sequence[float]) -> list[float] | dict[str, float]:
    """A few as they are, of many how they lie."""
    if len(values) <= _RAW:
        return [round(value, 3) for value in values]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    found = {"min": min(values), **{f"p{part}": cuts[part - 1] for part in _PERCENTILES}, "max": max(values)}
    return {"n": len(values), **{name: round(value, 3) for name, value in found.items()}}


def _lines(content: Mapping[str, Any]) -> str:
    """JSON with a line for each value, and one for each list of numbers."""
    text = json.dumps(content, indent=1)
    return re.sub(r"\[[\d\s,.e+-]+\]", lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n"


@dataclass
class Report:
    """Collects the samples of one bench."""

    name: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    """By case; in milliseconds unless the case's name says otherwise."""
    facts: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, case: str, value: float) -> None:
        self.samples.setdefault(case, []).append(value)

    def p50(self, case: str) -> float:
        return statistics.median(self.samples[case])

    def target(self, name: str, value: float, wanted: str) -> None:
        """Judge a figure; `wanted` is like "<= 0.10"."""
        sign, bound = wanted.split()
        self.targets[name] = {
            "value": round(value, 4),
            "target": wanted,
            "met": bool(_COMPARE[sign](value, float(bound))),
        }

    def finish(self, packages: Sequence[str] = ()) -> None:
        """Print the table, write the file (not in the quick form: it proves only that it runs), print the line."""
        width = max((len(case) for case in self.samples), default=4)
        print(f"\n{self.name}\n{'case':<{width}}  {'n':>6}  {'p50':>10}  {'p95':>10}  {'max':>10}")
        for case, values in self.samples.items():
            high = sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]
            print(
                f"{case:<{width}}  {len(values):>6}  {statistics.median(values):>10.2f}  {high:>10.2f}"
                f"  {max(values):>10.2f}"
            )
        for fact, value in self.facts.items():
            print(f"{fact}: {value}")
        for name, judged in self.targets.items():
            print(f"{'met   ' if judged['met'] else 'MISSED'}  {name} = {judged['value']} (target {judged['target']})")
        content = {
            "bench": self.name,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {"cpus": os.cpu_count(), "architecture": platform.machine(), "kernel": platform.release()},
            "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
            "facts": self.facts,
            "targets": self.targets,
            "samples": {case: _kept(values) for case, values in self.samples.items()},
        }
        if not QUICK:
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / f"{self.name}.json").write_text(_lines(content))
        sys.stdout.write(json.dumps({"bench": self.name, "targets": self.targets}) + "\n")
