"""Lines that others make us write."""

import json
import logging
import subprocess
import sys

from synthbench.chassis.log_rate import RateLimit

MANY = """
import logging, types
from synthbench.chassis import log_rate, logging as ours
now = 0.0
log_rate.time = types.SimpleNamespace(monotonic=lambda: now)
ours.RateLimit = lambda: log_rate.RateLimit(lines=5, seconds=10)
log = ours.setup_logging("test", "INFO")
for number in range(1000):
    log.info("the same", number=number)
    logging.getLogger("uvicorn.error").warning("another %s", number)
log.info("a different one")
now = 11.0
log.info("the same", number=-1)
logging.getLogger("uvicorn.error").warning("another %s", -1)
"""


def test_the_same_line_is_written_a_few_times_and_then_counted():
    ran = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    same = [line for line in lines if line["event"] == "the same"]
    assert [line.get("number") for line in same] == [0, 1, 2, 3, 4, -1]
    assert [line.get("left_out_before") for line in same] == [None] * 5 + [995]
    others = [line["event"] for line in lines if line["event"].startswith("another")]
    assert others == [*(f"another {number}" for number in range(5)), "another -1 (left out before: 995)"]
    assert [line["event"] for line in lines].count("a different one") == 1


def test_the_memory_of_kinds_is_bounded():
    limit = RateLimit()
    for number in range(10_000):
        assert limit.filter(logging.LogRecord("x", logging.INFO, "", 0, f"{number}", (), None))
    assert len(limit._windows) <= 2001
