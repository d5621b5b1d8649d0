"""`storage`: where room went, and what the next sweep would take."""

from typing import Annotated, Any

from cyclopts import Parameter
from rich import filesize

from synthbench.cli import console
from synthbench.cli.sessions import services_api
from synthbench.contracts.loose import as_list, as_object


async def storage(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show tables, weeks of hot steps and stored trajectories with their sizes, and what the policy takes next.

    Args:
        json: Print it as JSON.
    """
    async with services_api() as client:
        report = as_object(await client.find("/v1/storage"))
    if json:
        console.show_json(report)
        return
    tables: list[dict[str, Any]] = as_list(report.get("tables"))
    console.table(
        ["table", "rows, about", "size"], [[t["name"], str(t["rows"]), filesize.decimal(t["bytes"])] for t in tables]
    )
    weeks: list[dict[str, Any]] = as_list(report.get("weeks_of_steps"))
    console.table(
        ["hot steps of the week", "rows, about", "size", "attempts not stored", "next sweep"],
        [
            [
                str(week["begins"] or "others")[:10],
                str(week["rows"]),
                filesize.decimal(week["bytes"]),
                str(week["unfinished"] or ""),
                "goes" if week["cold"] and not week["unfinished"] else "",
            ]
            for week in weeks
        ],
    )
    stored: list[dict[str, Any]] = as_list(report.get("trajectories"))
    console.table(
        ["trajectories", "stored", "size"],
        [[_kind(s), str(s["trajectories"]), filesize.decimal(s["bytes"])] for s in stored],
    )
    policy, expirable = as_object(report.get("policy")), as_object(report.get("expirable"))
    console.say(f"steps stay hot for {policy['hot_step_days']:g} days; their trajectories stay")
    if policy["failed_attempt_days"] is None:
        console.say("attempts that do not count stay, too: SYNTHBENCH_FAILED_ATTEMPT_DAYS is not set")
    else:
        found = f"{expirable['count']} trajectories ({filesize.decimal(expirable['bytes'])})"
        console.say(
            f"attempts that do not count go after {policy['failed_attempt_days']:g} days: {found} in the next sweep"
        )
    if waiting := report.get("changes_not_archived"):
        console.say(f"{waiting} changes wait to be written into the artifact store")


def _kind(row: dict[str, Any]) -> str:
    if row["imported"]:
        return "imported"
    return "counted" if row["counted"] else "of attempts that do not count"
