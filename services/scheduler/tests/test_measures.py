"""Metrics of the scheduler on a real Postgres, and the alerts that are made of them."""

import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from synthbench.contracts.records import Outcome
from synthbench.scheduler.measures import Measures

ALERTS = Path(__file__).parents[3] / "deploy/prometheus/alerts.yml"
TASK = "sha256:" + "a" * 64


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_rollouts_by_state_and_attempts_by_outcome_are_counted(scheduler):
    before = sample("synthbench_attempts_total", outcome="unsolved") or 0.0
    await scheduler.rollout(TASK, state="planned")
    await scheduler.attempt(await scheduler.rollout(TASK), 1, Outcome.UNSOLVED, "one")
    await Measures(scheduler.overviews).sample()
    assert sample("synthbench_rollouts", state="planned") == 1
    assert sample("synthbench_rollouts", state="closed") == 1
    assert sample("synthbench_rollouts", state="running") == 0
    assert sample("synthbench_attempts_total", outcome="unsolved") == before + 1


async def test_the_share_of_ungraded_attempts_is_told_by_route_and_task(scheduler):
    outcomes = [Outcome.INFRA_ERROR, Outcome.SOLVED, Outcome.INFRA_ERROR, Outcome.UNSOLVED, Outcome.CANCELLED]
    for outcome in outcomes:
        await scheduler.attempt(await scheduler.rollout(TASK, route="hostile"), 1, outcome, "one")
    await scheduler.attempt(await scheduler.rollout(TASK, route="honest"), 1, Outcome.SOLVED, "one")
    await Measures(scheduler.overviews).sample()
    assert sample("synthbench_attempts_ungraded_share", route="hostile", task="aa") == 0.5
    assert sample("synthbench_attempts_ended_last_hour", route="hostile", task="aa") == 4
    assert sample("synthbench_attempts_ungraded_share", route="honest", task="aa") == 0


async def test_names_that_submitters_choose_make_at_most_fifty_series(scheduler):
    for number in range(55):
        await scheduler.attempt(await scheduler.rollout(TASK, route=f"r{number}"), 1, Outcome.SOLVED, "one")
    await Measures(scheduler.overviews).sample()
    (family,) = [one for one in REGISTRY.collect() if one.name == "synthbench_attempts_ungraded_share"]
    assert len(family.samples) == 50


def test_alerts_ask_for_metrics_that_there_are():
    importlib.import_module("synthbench.chassis.metrics")  # registers what every service has
    exported = {one.name for family in REGISTRY.collect() for one in family.samples} | {
        f"{family.name}{suffix}" for family in REGISTRY.collect() for suffix in ("", "_total", "_count", "_sum")
    }
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert {"AttemptsUngraded", "DeadLetters"} <= {rule["alert"] for rule in rules}
    for rule in rules:
        asked = set(re.findall(r"synthbench_\w+", rule["expr"]))
        assert asked, rule
        assert asked <= exported, rule
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(
    shutil.which("promtool") is None and os.environ.get("CI") != "true",
    reason="promtool is not installed; it comes with Prometheus",
)
def test_prometheus_takes_the_alerts(tmp_path: Path):
    test = tmp_path / "test.yml"
    series = {"synthbench_attempts_ungraded_share": "0.5x20", "synthbench_attempts_ended_last_hour": "12x20"}
    labels = {"route": "m", "task": "t"}
    test.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(ALERTS)],
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [
                            {"series": f'{name}{{route="m",task="t"}}', "values": values}
                            for name, values in series.items()
                        ],
                        "promql_expr_test": [],
                        "alert_rule_test": [
                            {
                                "eval_time": "10m",
                                "alertname": "AttemptsUngraded",
                                "exp_alerts": [
                                    {
                                        "exp_labels": {"severity": "warning", **labels},
                                        "exp_annotations": _annotations("50% of the attempts of t by m got no grade"),
                                    }
                                ],
                            }
                        ],
                    }
                ],
            }
        )
    )
    subprocess.run(["promtool", "check", "rules", ALERTS], check=True, timeout=30, capture_output=True)
    done = subprocess.run(["promtool", "test", "rules", test], check=False, timeout=30, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _annotations(summary: str) -> dict[str, str]:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    return rules[0]["annotations"] | {"summary": summary}
