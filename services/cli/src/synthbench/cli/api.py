"""The Python API: the same as the commands, from a program.

from synthbench.cli.api import generate_trajectories
recorded = await generate_trajectories("simple-task-001", model="sim/expert")
print(recorded[0].trajectory.outcome, recorded[0].location)
"""

from synthbench.cli.sessions import session
from synthbench.client.errors import CliError
from synthbench.client.runs import RecordedTrajectory, run_submissions, task_reference
from synthbench.client.stack_client import Listener, StackClient, connect
from synthbench.contracts.events import TaskSubmitted
from synthbench.embedded.stack_options import StackOptions

__all__ = [
    "CliError",
    "RecordedTrajectory",
    "StackClient",
    "TaskSubmitted",
    "connect",
    "generate_trajectories",
    "session",
]


async def generate_trajectories(
    task: str,
    *,
    model: str = "sim/expert",
    scaffold: str = "native",
    sandbox: str | None = None,
    samples: int = 1,
    max_cost_usd: float = 1.0,
    listener: Listener | None = None,
) -> list[RecordedTrajectory]:
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
        recorded, failed = await run_submissions(client, [submission], listener)
    if failed:
        raise CliError(f"{failed[0].task}: {failed[0].reason}")
    return recorded
