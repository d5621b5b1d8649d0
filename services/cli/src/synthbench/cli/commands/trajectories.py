"""`trajectories list|show|export`."""

import asyncio
import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.cli.errors import CliError
from synthbench.cli.messages import to_messages
from synthbench.cli.session import session

app = App(name="trajectories", help="What was recorded.")


@app.command(name="list")
async def list_trajectories(
    *,
    task: str | None = None,
    outcome: str | None = None,
    campaign: str | None = None,
    limit: int = 50,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List stored trajectories, newest first.

    Args:
        task: Only of this task.
        outcome: Only with this outcome.
        campaign: Only of this campaign.
        limit: At most so many.
        json: Print them as JSON.
    """
    params = {"task": task, "outcome": outcome, "campaign": campaign, "limit": limit}
    async with session() as client:
        found: dict[str, Any] = await client.find("/v1/trajectories", params=params) or {}
    entries: list[dict[str, Any]] = found.get("trajectories", [])
    if json:
        console.show_json(entries)
        return
    columns = ["trajectory_id", "task", "scaffold", "route", "outcome", "reward", "steps", "verdict", "curation"]
    console.table(columns, [[str(entry.get(column) or "") for column in columns] for entry in entries])


@app.command
async def show(trajectory: str, /) -> None:
    """Show one trajectory, step by step.

    Args:
        trajectory: Its id.
    """
    async with session() as client:
        entry, found = await client.trajectory(trajectory)
    console.out.print(f"{found.rollout.task.name} · {found.rollout.scaffold} {found.rollout.route}", markup=False)
    for step in found.steps:
        console.out.print(console.step_line(step))
    console.summary(found, entry, entry["artifact"]["uri"])


@app.command
async def export(
    trajectory: str,
    /,
    *,
    format: Literal["json", "messages"] = "json",  # noqa: A002 - the option's name
    output: Path | None = None,
) -> None:
    """Write one trajectory: the whole record, or OpenAI messages with tools.

    Args:
        trajectory: Its id.
        format: json or messages.
        output: A file; standard output by default.
    """
    async with session() as client:
        _, found = await client.trajectory(trajectory)
    value = found.to_dict() if format == "json" else to_messages(found)
    text = jsonlib.dumps(value, ensure_ascii=False, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        await asyncio.to_thread(output.write_text, text, "utf-8")
    except OSError as error:
        raise CliError(f"{output}: {error.strerror}") from error
    console.say(f"wrote {output}")
