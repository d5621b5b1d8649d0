"""Commands on trajectories: `trajectories list|show|export|fork|rescore|import`."""

from typing import Annotated, Any

from cyclopts import App, Parameter, validators

from synthbench.cli import console
from synthbench.cli.sessions import services_api

app = App(name="trajectories", help="What was recorded.")
# Named, not imported, as in `synthbench.cli.__main__`: a list needs nothing of them.
LOADED_LATER = {
    "rescore": (
        "rescore:rescore",
        "Weigh stored reward parts anew; nothing is run, and the records stay as they are. See docs/rewards.md.",
    ),
    "export": ("exporting:export", "Write trajectories: the whole records, or what others read; see docs/exports.md."),
    "import": (
        "importing:import_trajectories",
        "Take over trajectories of mini-swe-agent, SWE-agent, ATIF, OpenAI messages, or our own; see docs/import.md.",
    ),
    "fork": (
        "one_trajectory:fork",
        "Branch a trajectory for preference pairs: keep its first steps and their files, and go on from there anew.",
    ),
    "show": (
        "one_trajectory:show",
        "Show one trajectory: the instruction, each step with what it answered, the patch, and how it was judged.",
    ),
}
for name, (place, summary) in LOADED_LATER.items():
    app.command(f"synthbench.cli.commands.{place}", name=name, help=summary)


@app.command(name="list")
async def list_trajectories(
    wanted: str = "",
    /,
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))] = 50,
    wide: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List stored trajectories, newest first.

    Args:
        wanted: A filter, which may hold words to search for: 'outcome:solved steps<20 rounding'; see docs/catalogue.md.
        limit: At most so many.
        wide: Whole ids on a terminal, too; every command takes the beginning of an id that no other has.
        json: Print them as JSON.
    """
    params = {"filter": wanted, "limit": limit, "total": True}
    async with services_api() as client:
        found: dict[str, Any] = await client.find("/v1/trajectories", params=params) or {}
    entries: list[dict[str, Any]] = found.get("trajectories", [])
    if json:
        console.show_json(entries)
        return
    columns = ["task", "scaffold", "route", "outcome", "reward", "steps", "verdict", "curation"]
    rows = [
        [console.short_id(entry["trajectory_id"], wide=wide), *(_shown(entry.get(column)) for column in columns),
         _parent(entry, wide=wide)] for entry in entries
    ]  # fmt: skip
    console.table(["trajectory_id", *columns, "from"], rows)
    total = int(found.get("total") or 0)
    if total > len(entries):
        console.say(f"{len(entries)} of {total}, the newest; --limit shows more, a filter fewer")


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)


def _parent(entry: dict[str, Any], *, wide: bool) -> str:
    """Return where its first steps come from: `ID@K` for a fork, `resumed@K` for a resumed attempt."""
    if entry.get("forked_from"):
        return f"{console.short_id(entry['forked_from'], wide=wide)}@{entry['forked_step']}"
    return "" if entry.get("resumed_from") is None else f"resumed@{entry['resumed_from']}"
