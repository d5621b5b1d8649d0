"""The Python API: the same as the commands, from a program.

from synthbench.cli.api import generate_trajectories
made = await generate_trajectories("simple-task-001", model="sim/expert")
print(made[0].trajectory.outcome, made[0].location)
"""

from synthbench.cli.client import Listener, StackClient, connect
from synthbench.cli.errors import CliError
from synthbench.cli.session import session
from synthbench.cli.stack_options import StackOptions
from synthbench.cli.work import Made, carry_out, task_reference
from synthbench.contracts.events import TaskSubmitted

__all__ = ["CliError", "Made", "StackClient", "TaskSubmitted", "connect", "generate_trajectories", "session"]


async def generate_trajectories(
    task: str,
    *,
    model: str = "sim/expert",
    scaffold: str = "native",
    sandbox: str | None = None,
    samples: int = 1,
    max_cost_usd: float = 1.0,
    listener: Listener | None = None,
) -> list[Made]:
    """Run an agent on a task and return what was recorded.

    Args:
        task: a library task's id, or the folder of a package.
        model: a route, such as `sim/expert` or `gpt-5-mini`.
        scaffold: what drives the model.
        sandbox: engine; by default the best one that works here.
        samples: how many trajectories.
        max_cost_usd: cap over all of them, in US dollars.
        listener: called with each event of the submission, as an `Envelope`.

    Raises:
        CliError: the stack does not start, or the submission was refused, or no attempt succeeded.
    """
    async with session(options=StackOptions(sandbox=sandbox)) as client:
        submission = TaskSubmitted(
            task=await task_reference(client, task),
            route=model,
            scaffold=scaffold,
            engine=sandbox,
            samples=samples,
            max_cost_microusd=round(max_cost_usd * 1_000_000),
        )
        made, failed = await carry_out(client, [submission], listener)
    if failed:
        raise CliError(f"{failed[0].task}: {failed[0].reason}")
    return made
