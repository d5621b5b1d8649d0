"""Commands on tasks: `tasks list|show|init|check|quarantined|release`."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.cli.commands.generate import report_failures, tally_of
from synthbench.cli.installed import Engine
from synthbench.cli.progress_display import showing_progress
from synthbench.cli.sessions import session
from synthbench.cli.verification_reasons import reason_of
from synthbench.client.errors import CliError
from synthbench.client.runs import FailedRun, RecordedTrajectory, run_submissions, task_reference
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, as_object
from synthbench.embedded.stack_options import StackOptions
from synthbench.tasks import (
    TaskError,
    TaskPackage,
    digest_of,
    init_package,
    library_tasks,
    load_library_task,
    load_package,
)

app = App(name="tasks", help="The task library, and packages of your own.")


def load_task(task: str) -> TaskPackage:
    """Return a library task or a folder's package.

    Raises:
        CliError: there is none, or it is broken.
    """
    try:
        return load_package(Path(task)) if "/" in task or Path(task).is_dir() else load_library_task(task)
    except TaskError as error:
        raise CliError(str(error)) from error


@app.command(name="list")
def list_tasks(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the built-in tasks.

    Args:
        json: Print them as JSON.
    """
    packages = [load_library_task(name) for name in library_tasks()]
    columns = ["task", "difficulty", "category", "description"]
    rows = [[p.id, p.difficulty, p.category, p.manifest.task.description] for p in packages]
    if json:
        console.show_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        console.table(columns, rows)


@app.command
def show(task: str, /) -> None:
    """Show one task: its instruction and what is known of it.

    Args:
        task: A library id, or a folder.
    """
    package = load_task(task)
    console.out.print(package.instruction, markup=False)
    facts = {
        "name": package.name,
        "digest": digest_of(package),
        "difficulty": package.difficulty,
        "category": package.category,
        "tags": ", ".join(package.tags),
        "engines": ", ".join(package.engines),
        "hidden tests": f"{len(package.own.fail_to_pass)} to begin to pass, {len(package.own.pass_to_pass)} to go on",
        "wrong solutions": ", ".join(package.wrong_solutions()),
    }
    console.table(["", ""], [[name, value] for name, value in facts.items()])


@app.command
def init(folder: Path, /, *, name: str | None = None) -> None:
    """Write a small working package into a new folder.

    Args:
        folder: To be made.
        name: `organisation/id`; by default from the folder's name.
    """
    try:
        written = init_package(folder, name or folder.name)
    except TaskError as error:
        raise CliError(str(error)) from error
    console.say(f"wrote {len(written)} files into {folder}; now `synth-bench tasks check {folder}`")


@app.command
async def check(task: str, /, *, sandbox: Engine = None) -> int:
    """Check a task along the normal road: the solution earns 1, nothing, wrong solutions and cheats do not.

    Args:
        task: A library id, or a folder.
    """
    package = load_task(task)
    for remark in package.remarks():
        console.say(f"{package.id}: {remark}")
    wanted: list[tuple[str, dict[str, str]]] = [("oracle", {}), ("nop", {})]
    wanted += [("wrong", {"solution": name}) for name in package.wrong_solutions()]
    wanted.append(("cheat", {}))
    async with session(options=StackOptions(sandbox=sandbox)) as client:
        reference = await task_reference(client, task)
        submissions = [
            TaskSubmitted(
                task=reference,
                submission_id=uuid7(),
                scaffold=scaffold,
                scaffold_args=args,
                engine=sandbox,
                campaign="tasks-check",
            )
            for scaffold, args in wanted
        ]
        async with showing_progress(f"checking {package.id}", tally_of(submissions)) as listener:
            recorded, failed = await run_submissions(client, submissions, listener, {reference: task})
    problems = [*failed, *(problem for one in recorded if (problem := _problem(one)))]
    rows = [[_label(one), _expected(one), f"{one.trajectory.verified_reward:g}", _seconds(one)] for one in recorded]
    console.table(["played", "expected", "reward", "seconds"], rows)
    return report_failures(problems)


@app.command
async def quarantined(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List tasks that are set aside: their attempts only ever failed by our own doing, while others fared better.

    Args:
        json: Print them as JSON.
    """
    async with session() as client:
        found = as_list(as_object(await client.find("/v1/quarantine", service="scheduler")).get("tasks"))
    if json:
        console.show_json(found)
    else:
        columns = ["task_name", "task_digest", "since", "reason"]
        console.table(columns, [[str(as_object(one).get(column, "")) for column in columns] for one in found])


@app.command
async def release(task: str, /) -> None:
    """Let a task out of quarantine; its earlier failures do not count any more.

    Args:
        task: Its name or its digest, as `tasks quarantined` shows them, or a beginning of the digest.
    """
    async with session() as client:
        listed = as_list(as_object(await client.find("/v1/quarantine", service="scheduler")).get("tasks"))
        digests = {str(one["task_digest"]): str(one["task_name"]) for one in map(as_object, listed)}
        beginning = f"sha256:{task.removeprefix('sha256:')}"
        found = [digest for digest, name in digests.items() if name == task or digest.startswith(beginning)]
        if len(found) > 1:
            raise CliError(f"several tasks in quarantine are {task}: {', '.join(found)}; write the whole digest")
        digest = found[0] if found else task
        if await client.find(f"/v1/quarantine/{digest}", service="scheduler", method="DELETE") is None:
            raise CliError(f"no task {digest} is in quarantine")
    console.say(f"released {digest}")


def _label(recorded: RecordedTrajectory) -> str:
    rollout = recorded.trajectory.rollout
    return " ".join([rollout.scaffold, *rollout.scaffold_args.values()])


def _expected(recorded: RecordedTrajectory) -> str:
    return {"oracle": "1", "wrong": "below 1"}.get(recorded.trajectory.rollout.scaffold, "0")


def _seconds(recorded: RecordedTrajectory) -> str:
    row: dict[str, Any] = recorded.row()
    return f"{row['seconds']:.1f}"


def _problem(recorded: RecordedTrajectory) -> FailedRun | None:
    reward, scaffold = recorded.trajectory.verified_reward, recorded.trajectory.rollout.scaffold
    good = {"oracle": reward == 1.0, "wrong": reward < 1.0}.get(scaffold, reward == 0.0)
    if good:
        return None
    problem = f"{_label(recorded)} earned {reward:g}, expected {_expected(recorded)}"
    why = reason_of(recorded.trajectory.verification) if scaffold == "oracle" else ""
    return FailedRun(recorded.trajectory.rollout.task.name, f"{problem}: {why}" if why else problem)
