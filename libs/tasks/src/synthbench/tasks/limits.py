"""Limits of a task: those of its difficulty, unless the package sets its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from synthbench.tasks.manifest import Difficulty, TaskManifest


@dataclass(frozen=True)
class TaskLimits:
    """CPUs, memory, processes and times; the executor clamps them to its machine.

    Attributes:
        agent_timeout_sec: seconds of the agent, model time included.
        verifier_timeout_sec: seconds of the hidden tests.
        cpus: CPU seconds a second.
        memory_mb: MiB without swap.
        pids: processes and threads at once.
        storage_mb: MiB on disk.
    """

    agent_timeout_sec: float
    verifier_timeout_sec: float
    cpus: float
    memory_mb: int
    pids: int
    storage_mb: int


@dataclass(frozen=True)
class _Defaults:
    cpus: float
    memory_mb: int
    pids: int
    minutes: float


_BY_DIFFICULTY: Mapping[Difficulty, _Defaults] = {
    "easy": _Defaults(0.5, 512, 50, 5),
    "medium": _Defaults(1, 1024, 100, 15),
    "hard": _Defaults(2, 2048, 200, 30),
    "expert": _Defaults(4, 4096, 500, 60),
}


def task_limits(manifest: TaskManifest) -> TaskLimits:
    """Resolve what a manifest leaves open."""
    defaults = _BY_DIFFICULTY[manifest.metadata.difficulty]
    environment, own = manifest.environment, manifest.metadata.synthbench
    return TaskLimits(
        agent_timeout_sec=manifest.agent.timeout_sec or defaults.minutes * 60,
        verifier_timeout_sec=manifest.verifier.timeout_sec,
        cpus=environment.cpus or defaults.cpus,
        memory_mb=environment.memory_mb or defaults.memory_mb,
        pids=(own.pids if own else None) or defaults.pids,
        storage_mb=environment.storage_mb,
    )
