"""`rebuild`: make a lost bus again from Postgres and the journal, or a lost catalogue from the artifact store."""

from typing import Any, Literal

from synthbench.cli import console
from synthbench.cli.sessions import services_api
from synthbench.client.errors import CliError
from synthbench.contracts.loose import as_list, as_object
from synthbench.operations.operator import as_operator
from synthbench.operations.rebuild import rebuild_bus


async def rebuild(what: Literal["bus", "catalogue"] = "bus", /) -> int:
    """Make what was lost again.

    bus: what is missing of streams and consumers is made, everything in the outboxes goes out once more, and every
    event of attempts whose journal is still there. Nobody counts twice: all consumers know what they have handled.
    What only the bus knew (a submission that no scheduler had read yet) is lost with it.

    catalogue: what the artifact store knows of trajectories, attempts, calls and verdicts, and the tables do not, is
    put into them; then the steps of what is recent. Nothing that is there is changed.

    Args:
        what: bus or catalogue.
    """
    if what == "catalogue":
        return await _catalogue()
    async with as_operator(console.say) as operator:
        await rebuild_bus(operator, console.say)
    return 0


async def _catalogue() -> int:
    last: dict[str, Any] = {}
    async with services_api() as client:
        async for last in client.lines("/v1/rebuild", method="POST"):
            if "segments" in last and (last["segments"] % 100 == 0 or last["segments"] == last["of"]):
                console.say(f"{last['segments']} of {last['of']} segments read")
            elif "done" not in last and "trajectories" in last:
                console.say(f"{last['trajectories']} trajectories read")
    if not last.get("done"):
        raise CliError(f"the catalogue is not whole: {last.get('error', 'the collector broke off')}; run it again")
    rows = ", ".join(f"{count} {table}" for table, count in as_object(last.get("rows")).items() if count)
    console.say(f"put into the catalogue: {rows or 'nothing, all was there'}; {last['trajectories']} trajectories read")
    for problem in as_list(last.get("unreadable")):
        console.say(str(problem))
    return 1 if last["unreadable"] else 0
