"""A campaign whose budget is used up pauses, and goes on with a new one; what it cost is told."""

import json
import time
from pathlib import Path

import pytest

from .conftest import Provided

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(240)]

CAMPAIGN = """
[campaign]
name = "night"
tasks = ["simple-task-001"]
models = ["gpt-4o-mini"]
samples = 2
budget_usd = {budget}
"""


def test_a_used_up_budget_pauses_the_campaign_until_somebody_raises_it(provided: Provided, tmp_path: Path):
    stack = provided.stack
    file = tmp_path / "night.toml"
    file.write_text(CAMPAIGN.format(budget=0.004))  # a call is set aside with 0.0026, and costs 0.00021
    done = stack.ask("run", str(file), check=False)
    assert done.returncode == 1
    assert "the cap of campaign night is 0.0040 USD" in done.stderr
    listed = {one["campaign"]: one for one in stack.json("campaigns", "list")}["night"]
    assert listed["paused_at"]
    assert 0 < listed["spent_microusd"] <= listed["cost_cap_microusd"] == 4000
    assert "budget of campaign night too small for the next call" in stack.ask("status").stderr

    stack.ask("campaigns", "resume", "night", "--max-cost-usd", "1")
    deadline = time.monotonic() + 60
    while True:
        made = stack.json("trajectories", "list", "campaign:night")
        counted = [one for one in made if one["counted"]]
        if len(counted) == 2 and all(one["curation"] for one in counted):
            break
        assert time.monotonic() < deadline, made
        time.sleep(0.1)
    assert {one["outcome"] for one in counted} == {"solved"}
    costs = {by: stack.json("cost", "--by", by) for by in ("model", "campaign", "category", "day")}
    total = {sum(one["cost_microusd"] for one in rows) for rows in costs.values()}
    assert len(total) == 1
    assert total.pop() > 0
    night = {one["name"]: one["cost_microusd"] for one in costs["campaign"]}["night"]
    assert night == {one["campaign"]: one for one in stack.json("campaigns", "list")}["night"]["spent_microusd"]
    stack.ask("cost", "--csv", str(tmp_path / "cost.csv"))
    assert (tmp_path / "cost.csv").read_text().startswith("name,tries,answered")
    audited = json.loads(stack.ask("audit", "--json", check=False).stdout)
    money = {
        one["invariant"]: one["held"] for one in audited if "spent" in one["invariant"] or "lease" in one["invariant"]
    }
    assert money == {"what is spent is what was called": True, "what is leased lies in slices": True}
