"""The result of an attempt, and how an exception that ended it becomes one."""

from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import Counter
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import one_line
from synthbench.contracts.records import ArtifactRef, KeptFile, Outcome
from synthbench.contracts.rewards import Rewards
from synthbench.contracts.verification import VerificationResult
from synthbench.executor.domain.endings import Ending, InfraFailure, OutOfMoney, PermanentFailure
from synthbench.executor.domain.fault import as_ending, is_agents
from synthbench.sandbox.errors import SandboxError

AGENTS_EXCEPTIONS = Counter(
    "synthbench_agents_exceptions_total", "Exceptions that nobody foresaw, in code that handles what agents produce"
)


@dataclass
class AttemptResult:
    """The outcome of an attempt with everything that its report carries beside the steps."""

    outcome: Outcome
    detail: str = ""
    permanent: Literal["", "rollout", "submission"] = ""
    """Whether the rollout, or all of its submission, must not be tried again; empty where trying again may help."""
    out_of_money: bool = False
    verification: VerificationResult | None = None
    rewards: Rewards | None = None
    diff: ArtifactRef | None = None
    patch: ArtifactRef | None = None
    kept: list[KeptFile] = field(default_factory=list[KeptFile])


def failed_result(error: Exception, log: BoundLogger, *, agent_began: bool, steps: int) -> AttemptResult:
    """Return the result of an attempt that an exception ended: the agent's failure, or an `infra_error` of ours.

    Args:
        error: the exception.
        log: gets what nobody foresaw, with its traceback.
        agent_began: whether the agent had begun to work; before that no failure is the agent's.
        steps: how many steps the attempt had taken.
    """
    if agent_began and is_agents(error):
        return agent_result(as_ending(error), error, log)
    if isinstance(error, InfraFailure | SandboxError):
        permanent = _scope_of(error, steps) if isinstance(error, PermanentFailure) else ""
        no_money = isinstance(error, OutOfMoney)
        return AttemptResult(Outcome.INFRA_ERROR, str(error), permanent=permanent, out_of_money=no_money)
    log.error("attempt failed", exc_info=error)
    return AttemptResult(Outcome.INFRA_ERROR, one_line(error))


def agent_result(ending: Ending, error: Exception, log: BoundLogger) -> AttemptResult:
    """Return the result of an agent's run that ended with `error`, which stands for `ending`."""
    if ending is not error:
        AGENTS_EXCEPTIONS.inc()
        log.warning("what the agent produced cannot be handled", exc_info=error)
    return AttemptResult(ending.outcome, ending.detail)


def _scope_of(error: PermanentFailure, steps: int) -> Literal["rollout", "submission"]:
    """A request that is refused before the first step is refused to every sample; later it is this rollout's own."""
    return "rollout" if error.scope == "rollout" and steps else "submission"
