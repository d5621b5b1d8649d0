"""Commands on campaigns: `campaigns list|resume|digest`."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.cli.sessions import session
from synthbench.client.amounts import cost_text, microusd
from synthbench.client.errors import CliError
from synthbench.client.services_api import ServicesApi, campaigns_of
from synthbench.client.stack_client import StackClient, quoted
from synthbench.contracts.loose import as_list, as_object
from synthbench.datasets.campaign_digest import campaign_digest, rollout_digest

app = App(name="campaigns", help="Campaigns: their budgets, and what they made.")

_EVERYTHING = "*"


@app.command(name="list")
async def list_campaigns(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List campaigns with their budgets, and why they pause; `*` is all that cost money.

    Args:
        json: Print them as JSON.
    """
    async with session() as client:
        campaigns, budgets = await campaigns_of(client), await _budgets(client)
    rows = [{**campaign, **budgets.get(f"campaign/{campaign['campaign']}", {})} for campaign in campaigns]
    if json:
        console.show_json(rows)
        return
    console.table(
        ["campaign", "open", "spent", "budget", "paused"],
        [[row["campaign"], str(row["open"]), _usd(row.get("spent_microusd", 0)), _usd(row["cost_cap_microusd"]),
          row["reason"] if row["paused_at"] else ""] for row in rows],
    )  # fmt: skip


@app.command
async def resume(name: str, /, *, max_cost_usd: float | None = None) -> None:
    """Let a paused campaign go on.

    Args:
        name: Of the campaign; `*` for a day's or a month's budget, whose limit is a setting of the llm-gateway.
        max_cost_usd: The campaign's new budget, over everything that it spent before and will spend.
    """
    cap = None if max_cost_usd is None else microusd("--max-cost-usd", max_cost_usd)
    async with session() as client:
        path = f"/v1/campaigns/{name}/resume"
        found = await client.find(path, service="scheduler", params={"max_cost_microusd": cap}, method="POST")
    if found is None:
        raise CliError(f"there is no campaign {name}; `synth-bench campaigns list` shows what there is")
    console.say(f"{name} goes on; its budget is {_usd(found['cost_cap_microusd'])}")


@app.command
async def digest(name: str, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Print the canonical digest of a campaign: equal where the same agents did the same, as in a replay.

    Args:
        name: Of the campaign.
        json: Print it as JSON, with the digest of every rollout.
    """
    async with session() as client:
        wanted = f"campaign:{quoted(name)} counted:true"
        rollouts = [await _digest_of(client, entry) async for entry in client.trajectories(wanted)]
        is_open = any(one["campaign"] == name and one["open"] for one in await campaigns_of(client))
    if not rollouts:
        raise CliError(f"campaign {name} has no trajectories; `synth-bench campaigns list` shows what there is")
    if is_open:
        console.say(f"{name} is not finished: this is the digest of what counts so far")
    found = campaign_digest(one["digest"] for one in rollouts)
    if json:
        rollouts.sort(key=lambda one: (one["task"], one["route"], one["sample"], one["digest"]))
        console.show_json({"campaign": name, "digest": found, "rollouts": rollouts})
    else:
        console.out.print(f"{found}  {name}, {len(rollouts)} rollouts", markup=False, soft_wrap=True)


async def _digest_of(client: StackClient, entry: dict[str, Any]) -> dict[str, Any]:
    trajectory = await client.stored(entry)
    rollout = trajectory.rollout
    return {
        "task": rollout.task.name,
        "route": rollout.route,
        "sample": rollout.sample,
        "trajectory": str(trajectory.trajectory_id),
        "digest": rollout_digest(trajectory),
    }


async def _budgets(client: ServicesApi) -> dict[str, dict[str, Any]]:
    found = as_object(await client.find("/v1/budgets", service="llm_gateway"))
    return {str(one["scope"]): one for one in as_list(found.get("budgets"))}


def _usd(microusd: int | None) -> str:
    return "" if microusd is None else cost_text(microusd, known=True)
