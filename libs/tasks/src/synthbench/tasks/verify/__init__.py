"""Verification in two sandboxes: one holds the code under test, the other the tests; a channel joins them."""

from importlib import resources

from synthbench.tasks.verify.grading import Grade, grade
from synthbench.tasks.verify.server import CodeUnderTest, CtrfReport, CtrfTest, VerificationBroken, serve_verification

DRIVER = "synthbench_verify.py"

__all__ = [
    "DRIVER",
    "CodeUnderTest",
    "CtrfReport",
    "CtrfTest",
    "Grade",
    "VerificationBroken",
    "driver_source",
    "grade",
    "serve_verification",
]


def driver_source() -> bytes:
    """The driver, as it is put beside the tests."""
    return resources.files("synthbench.tasks.verify").joinpath(DRIVER).read_bytes()
