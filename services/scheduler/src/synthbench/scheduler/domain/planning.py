"""Planning: a submission becomes rollouts, or a list of what is wrong with it, field by field. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.ids import derived_id
from synthbench.contracts.numbers import LARGEST
from synthbench.contracts.records import DEFAULT_POOLS, FieldError, Rollout, RolloutLimits, TaskInfo
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.scaffold_args import ArgumentError, read_native
from synthbench.contracts.scaffolds import MODEL_FREE, is_simulated

SECONDS_BY_DIFFICULTY = {"easy": 300.0, "medium": 900.0, "hard": 1800.0, "expert": 3600.0}
STEPS_BY_DIFFICULTY = {"easy": 30, "medium": 50, "hard": 75, "expert": 100}
SUBMISSION_BYTES = 128 * 1024
"""Most bytes of a submission's JSON; a program takes no longer argument anyway."""
SAMPLES_BYTES = 8 * 1024 * 1024
"""Most bytes of a submission times its samples: each rollout's events and attempts carry what they run."""
UNISOLATED_POOL = "process"
_LARGEST_SEED = LARGEST - 1000


@dataclass(frozen=True)
class TaskFacts:
    """The properties of a task by which a submission of it is planned."""

    info: TaskInfo
    engines: tuple[str, ...]
    """Engines that can run it, the task's own preference."""
    from_library: bool
    why_engines: str = ""
    """Why it runs on these only."""
    max_seconds: float | None = None
    """The task's own limit for the agent."""

    def runs_on(self, engine: str) -> bool:
        """Whether an engine can run it; a task that names all of our engines makes no demand, and runs on any other."""
        return engine in self.engines or set(DEFAULT_POOLS) <= set(self.engines)


@dataclass(frozen=True)
class DeploymentPolicy:
    """The engines and scaffolds that submissions may use in this deployment."""

    pools: tuple[str, ...]
    """Engines that executors serve, preferred first."""
    scaffolds: Collection[str]
    allow_process: bool = False
    """Let the process engine, which isolates nothing, run more than library tasks with simulated models."""


@dataclass(frozen=True)
class Plan:
    """The rollouts of a submission, or what is wrong with it."""

    rollouts: tuple[Rollout, ...] = ()
    errors: tuple[FieldError, ...] = ()
    pool: str = ""


def plan(submission_id: UUID, submitted: TaskSubmitted, task: TaskFacts, policy: DeploymentPolicy) -> Plan:
    """Plan a submission; the same submission always becomes the same rollouts."""
    errors = [*_size_errors(submitted), *_scaffold_errors(submitted, policy)]
    if max(abs(submitted.seed), abs(submitted.sampling.seed or 0)) > _LARGEST_SEED:
        errors.append(FieldError(field="seed", message=f"a seed is a number of at most {_LARGEST_SEED}"))
    pool, pool_error = _choose_pool(submitted, task, policy)
    if pool_error:
        errors.append(pool_error)
    if errors:
        return Plan(errors=tuple(errors))
    rollouts = tuple(
        Rollout(
            rollout_id=derived_id("rollout", submission_id, sample),
            submission_id=submission_id,
            campaign=submitted.campaign,
            task=task.info,
            scaffold=submitted.scaffold,
            scaffold_args=submitted.scaffold_args,
            route=submitted.route,
            sample=sample,
            seed=submitted.seed + sample,
            pool=pool,
            priority=submitted.priority,
            limits=_limits(submitted, task),
            allow_unknown_price=submitted.allow_unknown_price,
            simulated=is_simulated(submitted.scaffold, submitted.route),
            sampling=_sampling(submitted, sample),
            forked_from=submitted.fork,
        )
        for sample in range(submitted.samples)
    )
    return Plan(rollouts=rollouts, pool=pool)


def _sampling(submitted: TaskSubmitted, sample: int) -> Sampling:
    """Return the sampling parameters of one sample: each has a seed of its own, if any seed is named."""
    seed = submitted.sampling.seed if submitted.sampling.seed is not None else submitted.seed or None
    return submitted.sampling.model_copy(update={"seed": None if seed is None else seed + sample})


def _size_errors(submitted: TaskSubmitted) -> list[FieldError]:
    size = len(submitted.to_json())
    if size > SUBMISSION_BYTES:
        return [FieldError(field="", message=f"the submission has {size} bytes; at most {SUBMISSION_BYTES}")]
    if size * submitted.samples > SAMPLES_BYTES:
        most = SAMPLES_BYTES // size
        problem = (
            f"{submitted.samples} samples of a submission of {size} bytes are too much; at most {most} of this size"
        )
        return [FieldError(field="samples", message=problem)]
    return []


def _scaffold_errors(submitted: TaskSubmitted, policy: DeploymentPolicy) -> list[FieldError]:
    if submitted.scaffold not in policy.scaffolds:
        known = ", ".join(sorted(policy.scaffolds))
        return [FieldError(field="scaffold", message=f"unknown scaffold {submitted.scaffold!r}; there are: {known}")]
    if submitted.scaffold in MODEL_FREE and submitted.route:
        return [FieldError(field="route", message=f"scaffold {submitted.scaffold!r} uses no model; leave route out")]
    if submitted.scaffold in MODEL_FREE and submitted.sampling != Sampling():
        return [FieldError(field="sampling", message=f"scaffold {submitted.scaffold!r} uses no model; leave it out")]
    if submitted.scaffold not in MODEL_FREE and not submitted.route:
        return [FieldError(field="route", message="name a model route, such as sim/expert or openai/gpt-5")]
    if submitted.scaffold == "native":
        try:
            read_native(submitted.scaffold_args)
        except ArgumentError as error:
            return [FieldError(field=f"scaffold_args.{error.name}", message=str(error))]
    return []


def _choose_pool(submitted: TaskSubmitted, task: TaskFacts, policy: DeploymentPolicy) -> tuple[str, FieldError | None]:
    served = [pool for pool in policy.pools if task.runs_on(pool)]
    candidates: Sequence[str] = served
    if submitted.engine:
        if submitted.engine not in policy.pools:
            served_by = ", ".join(policy.pools) or "none"
            return "", FieldError(
                field="engine", message=f"no executor serves engine {submitted.engine!r}; served: {served_by}"
            )
        candidates = [pool for pool in served if pool == submitted.engine]
    if not candidates:
        needs, offered = ", ".join(task.engines), submitted.engine or ", ".join(policy.pools) or "none"
        why = f" ({task.why_engines})" if task.why_engines else ""
        return "", FieldError(field="engine", message=f"{task.info.name} runs on {needs}{why}; offered: {offered}")
    pool = candidates[0]
    trusted = task.from_library and is_simulated(submitted.scaffold, submitted.route)
    if pool == UNISOLATED_POOL and not trusted and not policy.allow_process:
        return "", FieldError(
            field="engine",
            message="the process engine isolates nothing: it runs library tasks with sim/* models only, unless the "
            "operator sets SYNTHBENCH_ALLOW_PROCESS_ENGINE=true",
        )
    return pool, None


def _limits(submitted: TaskSubmitted, task: TaskFacts) -> RolloutLimits:
    difficulty = task.info.difficulty
    seconds = task.max_seconds or SECONDS_BY_DIFFICULTY.get(difficulty, SECONDS_BY_DIFFICULTY["medium"])
    defaults = RolloutLimits()
    return RolloutLimits(
        max_steps=submitted.max_steps or STEPS_BY_DIFFICULTY.get(difficulty, defaults.max_steps),
        max_tokens=submitted.max_tokens or defaults.max_tokens,
        max_seconds=submitted.max_seconds or seconds,
        max_cost_microusd=submitted.max_cost_microusd,
    )
