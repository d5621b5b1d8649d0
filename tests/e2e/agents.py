"""Real agents of others for whole stacks: what each needs here, and what its runs look like."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from synthbench.contracts.trajectory import Trajectory
from synthbench.executor.agents.interpreters import find_python
from synthbench.storage.trajectories import decode

CHECKOUT = os.environ.get("SYNTHBENCH_TEST_SWE_AGENT", "")
"""Of SWE-agent, which is on no package index."""


@dataclass(frozen=True)
class Agent:
    """One of them."""

    name: str
    tools: frozenset[str]
    """It calls at least these on its way to a solution."""
    kept: frozenset[str]
    """Files of its own that stay with the trajectory."""
    failure: tuple[str, str]
    """What becomes of a model that only talks: the outcome, and a word of the detail."""
    python: tuple[int, int] = (3, 11)
    checkout: str | None = None

    def absent(self) -> str | None:
        """Why it cannot be had here."""
        if self.checkout == "":
            return "SYNTHBENCH_TEST_SWE_AGENT names no checkout of SWE-agent"
        if find_python(self.python) is None:
            return "it needs Python {}.{} or newer; there is none here".format(*self.python)
        return None

    def install(self, stack) -> None:
        more = ["--checkout", self.checkout] if self.checkout else []
        stack.run("scaffolds", "install", self.name, *more, timeout=800)


AGENTS = [
    Agent(
        "mini-swe-agent",
        frozenset({"bash"}),
        frozenset({"agent/run.traj.json", "agent/stdout.txt"}),
        ("agent_error", "RepeatedFormatError"),
    ),
    Agent(
        "openhands",
        frozenset({"terminal", "finish"}),
        frozenset({"agent/events.jsonl", "agent/server.log", "agent/stdout.txt"}),
        ("gave_up", "calls no tool"),
        python=(3, 12),
    ),
    Agent(
        "swe-agent",
        frozenset({"bash", "submit"}),
        frozenset({"agent/run.traj", "agent/stdout.txt"}),
        ("agent_error", "exit_format"),
        checkout=CHECKOUT,
    ),
]


@dataclass(frozen=True)
class Run:
    """One rollout: how the command tells of it, and its record."""

    row: dict
    trajectory: Trajectory

    @property
    def calls(self) -> list[str]:
        """Ids of the model calls in the record, in order."""
        return [str(step.model_call.call_id) for step in self.trajectory.steps if step.model_call]


def generate(stack, scaffold: str, task: str, model: str, *more: str) -> Run:
    """Run it on one task; a failure is told by the row."""
    route = ["--model", model] if model else []
    done = stack.run("generate-trajectory", "--task", task, "--scaffold", scaffold, *route, "--json", *more,
                     timeout=400, check=False)  # fmt: skip
    assert done.stdout, done.stderr + stack.last_words()
    row = json.loads(done.stdout)[0]
    return Run(row, decode(Path(row["location"]).read_bytes()))


def generate_all(stack, wanted: Sequence[tuple[str, str, str]]) -> list[Run]:
    """Several (scaffold, task, model) beside each other, in the order given."""
    with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
        return list(pool.map(lambda one: generate(stack, *one), wanted))


def counted(stack) -> int:
    """Model calls that the gateway sent on, of all rollouts."""
    return sum(row["tries"] for row in stack.json("cost"))
