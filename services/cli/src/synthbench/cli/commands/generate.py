"""`generate-trajectory` and `run`: from tasks to trajectories."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from synthbench.cli import console, trajectory_view
from synthbench.cli.installed import Engine, ScaffoldName
from synthbench.cli.output import ReaderGone
from synthbench.cli.progress_display import reporting_interruption, showing_progress
from synthbench.cli.rollout_tally import RolloutTally
from synthbench.cli.sampling import DEFAULT, Sampled
from synthbench.cli.sessions import session
from synthbench.client.amounts import MICRO, microusd
from synthbench.client.errors import CliError
from synthbench.client.runs import (
    FailedRun,
    RecordedTrajectory,
    entries_of,
    failure_lines,
    failures,
    run_submissions,
    task_reference,
)
from synthbench.client.stack_client import StackClient
from synthbench.contracts.cloudevents import Envelope, field_errors
from synthbench.contracts.events import AttemptClosed, AttemptStarted, StepRecorded, TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_object, parse_toml
from synthbench.contracts.records import Label
from synthbench.contracts.sampling import Sampling, written_by_hand
from synthbench.contracts.scaffolds import MODEL_FREE
from synthbench.embedded.stack_options import API_KEY, BASE_URL, StackOptions
from synthbench.tasks import library_tasks

_OPTIONS = {
    "route": "--model",
    "scaffold_args": "--scaffold-arg",
    "engine": "--sandbox",
    "max_cost_microusd": "--max-cost",
    "fork.step": "--step",
    **{name: f"--{name.replace('_', '-')}" for name in ("task", "scaffold", "samples", "seed", "campaign")},
}
"""The command-line option of each field of a submission."""


async def generate_trajectory(
    *,
    task: str,
    model: str = "sim/expert",
    scaffold: ScaffoldName = "native",
    scaffold_arg: list[str] | None = None,
    sandbox: Engine = None,
    samples: int = 1,
    seed: int | None = None,
    sampling: Sampled = DEFAULT,
    base_url: str | None = None,
    api_key_env: str | None = None,
    max_cost: float = 1.0,
    allow_unknown_price: bool = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run an agent on one task, and show what was recorded.

    Args:
        task: A library task's id (`synth-bench tasks list`), or the folder of a task package.
        model: `sim/expert`, `sim/novice`, …, `replay/NAME`, or a model of the provider at --base-url.
        scaffold_arg: NAME=VALUE for the scaffold, as often as wanted: `command=./agent`.
        samples: How many trajectories.
        seed: For simulated models and for providers that take one; sample k is asked with this + k.
        sampling: How the model is asked to answer.
        base_url: Of an OpenAI-compatible API, e.g. https://api.openai.com/v1.
        api_key_env: Name of the environment variable that holds its key.
        max_cost: Cap over all samples, in US dollars.
        allow_unknown_price: Go on where the model's price is unknown, so that no cap can hold.
        json: Print the result as JSON.
    """
    parameters, cap = sampling.read(seed), microusd("--max-cost", max_cost)
    async with session(options=use_upstream(base_url, api_key_env, sandbox)) as client:
        reference = await task_reference(client, task)
        submission = submission_of(
            task=reference,
            submission_id=uuid7(),
            scaffold=scaffold,
            scaffold_args=arguments_of(scaffold_arg or []),
            route="" if scaffold in MODEL_FREE else model,
            engine=sandbox,
            samples=samples,
            seed=seed or 0,
            sampling=parameters,
            max_cost_microusd=cap,
            allow_unknown_price=allow_unknown_price,
        )
        recorded, failed = await generate(client, submission, {reference: task}, quiet=json)
    return show_recorded(recorded, failed, json=json)


async def generate(
    client: StackClient, submission: TaskSubmitted, names: Mapping[str, str], *, quiet: bool
) -> tuple[list[RecordedTrajectory], list[FailedRun]]:
    """Carry one submission out, with its steps shown unless `quiet`; `names` as in `run_submissions`."""
    tally = RolloutTally(submission.samples)
    shown = AttemptLog()

    def listener(envelope: Envelope) -> None:
        tally.apply(envelope)
        if not quiet:
            shown.show(envelope)

    found_by = f"submission:{submission.submission_id}"
    with reporting_interruption(tally, found_by, place_of_records(client)):
        return await run_submissions(client, [submission], listener, names)


def place_of_records(client: StackClient) -> str:
    """Return the folder or URL of the artifact store, for people."""
    return client.endpoints.artifacts_url.removeprefix("file://")


def show_recorded(recorded: list[RecordedTrajectory], failed: list[FailedRun], *, json: bool) -> int:
    """Print the trajectories and failures of one submission; return the exit code."""
    if json:
        console.show_json([{**one.row(), "location": one.location} for one in recorded])
    else:
        for one in recorded:
            trajectory_view.summary(one.trajectory, one.entry, one.location)
    return report_failures(failed)


def use_upstream(base_url: str | None, api_key_env: str | None, sandbox: str | None = None) -> StackOptions:
    """Hand the provider's address and key to the llm-gateway of the stack that will be started.

    Returns:
        What a stack that runs already must have, too.

    Raises:
        CliError: the variable is not set.
    """
    if base_url:
        os.environ[BASE_URL] = base_url
    elif "SYNTHBENCH_NATS_URL" not in os.environ:  # another stack has settings of its own
        base_url = os.environ.get(BASE_URL)
    if api_key_env:
        key = os.environ.get(api_key_env)
        if not key:
            raise CliError(f"the environment variable {api_key_env} is not set; it should hold the provider's key")
        os.environ[API_KEY] = key
    return StackOptions(sandbox=sandbox, base_url=base_url, api_key_env=api_key_env)


def arguments_of(pairs: list[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs.

    Raises:
        CliError: one is none.
    """
    for pair in pairs:
        if not pair.partition("=")[1]:
            raise CliError(f"--scaffold-arg wants NAME=VALUE, not {pair!r}", exit_code=2)
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def submission_of(**fields: Any) -> TaskSubmitted:
    """Make a submission of what was typed.

    Raises:
        CliError: a field is wrong.
    """
    try:
        return TaskSubmitted(**fields)
    except ValidationError as error:
        problems = "; ".join(f"{_OPTIONS.get(e.field, e.field)}: {e.message}" for e in field_errors(error))
        raise CliError(problems, exit_code=2) from error


class AttemptLog:
    """Prints the steps of attempts as they are recorded; a failure that repeats is printed once.

    Once nobody reads standard output any more, nothing is printed, and the work goes on.
    """

    def __init__(self) -> None:
        self._printed_failures: set[str] = set()
        self._reader_is_gone = False

    def show(self, envelope: Envelope) -> None:
        """Print the start, the step or the failure that an event announces."""
        if self._reader_is_gone:
            return
        try:
            self._print(envelope)
        except ReaderGone:
            self._reader_is_gone = True

    def _print(self, envelope: Envelope) -> None:
        match envelope.body:
            case AttemptStarted() as started:
                trajectory_view.started(started)
            case StepRecorded() as recorded if recorded.step.copied_from is None:
                trajectory_view.recorded(recorded)
            case AttemptClosed() as closed if not closed.outcome.gradable:
                text = f"{closed.outcome}: {closed.reason}"
                if text not in self._printed_failures:
                    self._printed_failures.add(text)
                    console.say(f"attempt {closed.attempt} ended: {text}")
            case _:
                pass


def report_failures(failed: list[FailedRun]) -> int:
    """Print the runs that led to no trajectory; return the exit code."""
    for line in failure_lines(failed):
        console.fail(line)
    return 1 if failed else 0


class Campaign(BaseModel):
    """`[campaign]` of a campaign file: tasks x models x samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Label = "default"
    tasks: list[str] = Field(min_length=1)
    """Library ids or folders; `"*"` is the whole library."""
    models: list[str] = Field(min_length=1)
    scaffold: str = "native"
    sandbox: str | None = None
    samples: int = Field(default=1, ge=1, le=1000)
    seed: int | None = None
    """Sample k is asked with this + k, by models that take one."""
    sampling: Annotated[Sampling, BeforeValidator(written_by_hand)] = Sampling()
    """`temperature`, `top_p`, `max_tokens`, `reasoning_effort`, and a table `extra_body`."""
    max_cost_usd: float = Field(default=1.0, ge=0)
    """Cap for each task with each model, in US dollars."""
    budget_usd: float | None = Field(default=None, ge=0)
    """Budget of the whole campaign over all its runs, in US dollars: when it is used up, the campaign pauses."""
    allow_unknown_price: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    campaign: Campaign


def load_campaign(path: Path) -> Campaign:
    """Read a campaign file.

    Raises:
        CliError: it cannot be read, or names the keys that are wrong.
    """
    try:
        return _File.model_validate(parse_toml(path.read_text("utf-8"))).campaign
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CliError(f"{path}: no TOML: {error}") from error
    except ValidationError as error:
        raise CliError(f"{path}: " + "; ".join(f"{e.field}: {e.message}" for e in field_errors(error))) from error


async def run(
    file: Path,
    /,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run a campaign: tasks x models x samples, as a file says.

    Args:
        file: TOML with a table [campaign]: tasks, models, and if wanted name, scaffold, samples, max_cost_usd,
            budget_usd.
        base_url: Of an OpenAI-compatible API.
        api_key_env: Name of the environment variable that holds its key.
        json: Print the result as JSON.
    """
    campaign = load_campaign(file)
    async with session(options=use_upstream(base_url, api_key_env, campaign.sandbox)) as client:
        submissions, names = await submissions_of(client, campaign)
        with reporting_interruption(
            tally := tally_of(submissions), f"campaign:{campaign.name}", place_of_records(client)
        ):
            async with showing_progress(campaign.name, tally) as listener:
                ended = await client.submit(submissions, listener)
        entries = await entries_of(client, campaign.name, {one.submission_id for one in ended})
        place = place_of_records(client)
    if json:
        console.show_json([_row(one) for one in entries])
    else:
        trajectory_view.campaign_totals(entries)
        console.say(f"stored in {place}; one by one: synth-bench trajectories list 'campaign:{campaign.name}'")
    return report_failures(failures(submissions, ended, names))


def tally_of(submissions: Sequence[TaskSubmitted]) -> RolloutTally:
    """Return a tally for submissions that have their ids."""
    samples = {one.submission_id: one.samples for one in submissions if one.submission_id}
    return RolloutTally(sum(samples.values()), samples)


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: entry[name] for name in ("task", "difficulty", "model", "outcome", "steps", "reward", "verdict")}
    row |= {name: entry[name] for name in ("curation", "seconds", "cost_microusd", "cost_known")}
    return {**row, "trajectory": str(entry["trajectory_id"]), "location": as_object(entry["artifact"]).get("uri")}


async def submissions_of(client: StackClient, campaign: Campaign) -> tuple[list[TaskSubmitted], dict[str, str]]:
    """Return the submissions of a campaign, and the names of its tasks by what the submissions call them."""
    tasks = [name for task in campaign.tasks for name in (library_tasks() if task == "*" else [task])]
    references = {task: await task_reference(client, task) for task in tasks}
    submissions = [
        submission_of(
            task=references[task],
            submission_id=uuid7(),
            campaign=campaign.name,
            scaffold=campaign.scaffold,
            route=model,
            engine=campaign.sandbox,
            samples=campaign.samples,
            seed=campaign.seed or 0,
            sampling=campaign.sampling.over(Sampling(seed=campaign.seed)),
            max_cost_microusd=round(campaign.max_cost_usd * MICRO),
            allow_unknown_price=campaign.allow_unknown_price,
            campaign_cost_microusd=None if campaign.budget_usd is None else round(campaign.budget_usd * MICRO),
        )
        for task in tasks
        for model in campaign.models
    ]
    return submissions, {reference: task for task, reference in references.items()}
