"""Events: facts that services announce on the bus, one module a topic, and the registry of all of them."""

from synthbench.contracts.events.attempts import AttemptClosed, AttemptFinished, AttemptStarted, StepRecorded
from synthbench.contracts.events.dead import DeadLetter
from synthbench.contracts.events.llm import BudgetExhausted, LlmCalled
from synthbench.contracts.events.tasks import (
    CancelRequested,
    TaskAccepted,
    TaskReady,
    TaskRejected,
    TaskSubmitted,
)
from synthbench.contracts.events.trajectories import (
    CurationStatus,
    Score,
    TrajectoryCurated,
    TrajectoryDone,
    TrajectoryScored,
    Verdict,
)
from synthbench.contracts.events.verification import VerificationFinished, VerificationRequested

__all__ = [
    "AttemptClosed",
    "AttemptFinished",
    "AttemptStarted",
    "BudgetExhausted",
    "CancelRequested",
    "CurationStatus",
    "DeadLetter",
    "LlmCalled",
    "Score",
    "StepRecorded",
    "TaskAccepted",
    "TaskReady",
    "TaskRejected",
    "TaskSubmitted",
    "TrajectoryCurated",
    "TrajectoryDone",
    "TrajectoryScored",
    "Verdict",
    "VerificationFinished",
    "VerificationRequested",
]
