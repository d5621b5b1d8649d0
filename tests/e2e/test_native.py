"""The native scaffold's arguments along the whole road."""

import pytest

from synthbench.cli.sessions import session
from synthbench.client.runs import run_submissions, task_reference
from synthbench.contracts.events import TaskSubmitted

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(240)]

TASKS = ("simple-task-001", "stock-report-002", "log-analyzer-003")
SHORT = {"context_tokens": "1800"}
ARGS = {"actions": "text", "shell": "persistent", "prompt": "concise"}


@pytest.fixture
def here(stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a client of the stack."""
    for name in ("SYNTHBENCH_DATA_DIR", "SYNTHBENCH_ENGINES"):
        monkeypatch.setenv(name, stack.env[name])


async def test_an_expert_solves_tasks_by_text_actions_in_a_shell_that_stays(here):
    async with session() as client:
        submissions = [
            TaskSubmitted(task=await task_reference(client, task), route="sim/expert", scaffold_args=ARGS)
            for task in TASKS
        ]
        made, failed = await run_submissions(client, submissions, None)
    assert not failed
    assert {one.row()["task"]: one.row()["outcome"] for one in made} == dict.fromkeys(TASKS, "solved")
    for trajectory in (one.trajectory for one in made):
        assert trajectory.context.prompt_version == "native/2/concise/text"
        assert all(step.action.tool_calls and "```action" in step.action.message for step in trajectory.steps)


async def test_an_argument_that_there_is_not_is_said_by_name(here):
    async with session() as client:
        reference = await task_reference(client, TASKS[0])
        wrong = TaskSubmitted(task=reference, route="sim/expert", scaffold_args={"shel": "persistent"})
        made, failed = await run_submissions(client, [wrong], None)
    assert not made
    (refused,) = failed
    assert "scaffold_args.shel: scaffold native has no argument 'shel'; it has shell, prompt," in refused.reason


async def test_what_does_not_fit_is_condensed_and_the_work_goes_on(here):
    async with session() as client:
        submissions = [
            TaskSubmitted(task=await task_reference(client, task), route="sim/expert", scaffold_args=SHORT)
            for task in TASKS
        ]
        made, failed = await run_submissions(client, submissions, None)
    assert not failed
    assert {one.row()["task"]: one.row()["outcome"] for one in made} == dict.fromkeys(TASKS, "solved")
    condensed = 0
    for trajectory in (one.trajectory for one in made):
        calls = [step.model_call for step in trajectory.steps if step.model_call]
        assert len({call.call_id for call in calls}) == trajectory.usage.calls == len(trajectory.steps)
        shortened = [step for step in trajectory.steps if step.kind == "condensation"]
        assert all(step.action.message and step.model_call and step.model_call.whole for step in shortened)
        condensed += len(shortened)
    assert condensed >= 2
