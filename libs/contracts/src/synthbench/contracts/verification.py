"""The result of a verification."""

from enum import StrEnum

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Real
from synthbench.contracts.text import Line, Name, Text


class TestStatus(StrEnum):
    """Result of one test; a missing or a skipped one counts as failed."""

    __test__ = False  # pytest: this is no test class
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSING = "missing"


class TestResult(Record):
    """One expected or found test."""

    __test__ = False  # pytest: this is no test class
    name: Text
    status: TestStatus
    required: bool = True
    seconds: Real = 0.0
    message: Text = ""


class VerificationResult(Record):
    """The tests one by one, and the reward that follows from them."""

    reward: Real = 0.0
    """1.0 only if every required test passed, else 0.0."""
    reward_parts: dict[Name, Real] = {}
    """`fail_to_pass` and `pass_to_pass`: the shares that passed, 0..1."""
    tests: list[TestResult] = []
    forgeable: bool = False
    """Whether code under test could have written this result (foreign packages under the harbor profile)."""
    in_place: bool = False
    """Whether the tests ran in the agent's own sandbox, beside what it left running: no second run is possible."""
    left_out: list[Text] = []
    """Paths of the agent's diff that were not applied: protected or unsafe."""
    error: Line | None = None
    """Why no verdict could be reached (our failure); then the reward means nothing."""
    seconds: Real = 0.0
    engines: dict[Name, Name] = {}
    """Which sandbox engine each side ran in: `code` and `tests`."""
