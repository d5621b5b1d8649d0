"""`compare`: the same tasks with several scaffolds."""

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from synthbench.cli import comparison, console
from synthbench.cli.commands.generate import (
    arguments_of,
    place_of_records,
    report_failures,
    submission_of,
    tally_of,
    use_upstream,
)
from synthbench.cli.installed import Engine
from synthbench.cli.progress_display import reporting_interruption, showing_progress
from synthbench.cli.sessions import session
from synthbench.client.amounts import microusd
from synthbench.client.errors import CliError
from synthbench.client.runs import FailedRun, run_submissions, task_reference
from synthbench.contracts.ids import uuid7
from synthbench.contracts.scaffolds import MODEL_FREE
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.statistics import CONFIDENCE
from synthbench.tasks import library_tasks


async def compare(
    *,
    scaffolds: str,
    tasks: str,
    model: str = "sim/expert",
    samples: int = 3,
    scaffold_arg: list[str] | None = None,
    sandbox: Engine = None,
    seed: int = 0,
    base_url: str | None = None,
    api_key_env: str | None = None,
    max_cost: float = 1.0,
    allow_unknown_price: bool = False,
    format: Literal["table", "json", "markdown"] = "table",  # noqa: A002 - the option's name
    output: Path | None = None,
) -> int:
    """Run scaffolds on the same tasks, and say how they did: shares and means, each with its 95 % interval.

    Args:
        scaffolds: Names, comma-separated: native,mini-swe-agent.
        tasks: Library ids or folders, comma-separated; `*` is the whole library.
        model: As in generate-trajectory; the same for all.
        samples: Of each task with each scaffold.
        scaffold_arg: SCAFFOLD.NAME=VALUE, as often as wanted.
        seed: For simulated models and for providers that take one.
        base_url: Of an OpenAI-compatible API.
        api_key_env: Name of the environment variable that holds its key.
        max_cost: Cap of each task with each scaffold, in US dollars.
        allow_unknown_price: Go on where the model's price is unknown, so that no cap can hold.
        format: table, json or markdown.
        output: A file, of json or markdown; standard output by default.
    """
    wanted = _names("--scaffolds", scaffolds)
    named = [one for task in _names("--tasks", tasks) for one in (library_tasks() if task == "*" else [task])]
    arguments = _arguments(scaffold_arg or [], wanted)
    cap = microusd("--max-cost", max_cost)
    async with session(options=use_upstream(base_url, api_key_env, sandbox)) as client:
        references = {task: await task_reference(client, task) for task in named}
        submissions = [
            submission_of(
                task=references[task],
                submission_id=uuid7(),
                scaffold=scaffold,
                scaffold_args=arguments[scaffold],
                route="" if scaffold in MODEL_FREE else model,
                campaign="compare",
                engine=sandbox,
                samples=samples,
                seed=seed,
                max_cost_microusd=cap,
                allow_unknown_price=allow_unknown_price,
            )
            for task in named
            for scaffold in wanted
        ]
        names = {reference: task for task, reference in references.items()}
        tally = tally_of(submissions)
        with reporting_interruption(tally, "campaign:compare", place_of_records(client)):
            async with showing_progress(f"{len(wanted)} scaffolds, {len(named)} tasks", tally) as listener:
                recorded, failed = await run_submissions(client, submissions, listener, names)
    if recorded:
        await _show(_report([one.trajectory for one in recorded], failed, wanted, model, samples), format, output)
    return report_failures(failed)


@dataclass(frozen=True)
class _ComparisonReport:
    title: str
    notes: list[str]
    rows: list[dict[str, Any]]


def _report(
    recorded: Sequence[Trajectory], failed: Sequence[FailedRun], scaffolds: list[str], model: str, samples: int
) -> _ComparisonReport:
    tasks = list(dict.fromkeys(comparison.task_name(one) for one in recorded))
    notes = [
        f"model {model}, {samples} samples of each task with each scaffold",
        f"means with {CONFIDENCE:.0%} intervals: Wilson's for solved, bootstrap for the others",
        "seconds are on the agent's clock",
    ]
    if any(one.rollout.simulated for one in recorded):
        notes.append("simulated: no work of a real model; what differs is the scaffolds' doing")
    lost = sum(not one.outcome.gradable for one in recorded) + len(failed)
    if lost:
        notes.append(f"{lost} rollouts failed on our side, and are not counted")
    title = f"{', '.join(scaffolds)} on {len(tasks)} tasks"
    return _ComparisonReport(title, notes, comparison.compare(recorded, scaffolds, tasks))


async def _show(report: _ComparisonReport, form: str, output: Path | None) -> None:
    if form == "table" and output is None:
        console.table(list(comparison.HEADINGS), [comparison.cells(row) for row in report.rows])
        for note in report.notes:
            console.say(note)
        return
    text = comparison.markdown(report.title, report.rows, report.notes)
    if form == "json":
        text = jsonlib.dumps(asdict(report), ensure_ascii=False, indent=2) + "\n"
    await console.hand_over(text, output)


def _names(option: str, text: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise CliError(f"{option} names nothing", exit_code=2)
    return names


def _arguments(pairs: list[str], scaffolds: list[str]) -> dict[str, dict[str, str]]:
    """Return the arguments of each scaffold.

    Raises:
        CliError: one is for none of them.
    """
    found: dict[str, dict[str, str]] = {scaffold: {} for scaffold in scaffolds}
    for name, value in arguments_of(pairs).items():
        scaffold, dot, argument = name.partition(".")
        if not dot or scaffold not in found:
            known = ", ".join(scaffolds)
            raise CliError(f"--scaffold-arg wants SCAFFOLD.NAME=VALUE, of {known}, not {name!r}", exit_code=2)
        found[scaffold][argument] = value
    return found
