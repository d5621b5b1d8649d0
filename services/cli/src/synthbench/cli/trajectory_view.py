"""Trajectories on a terminal: steps as they are recorded, the summary of one, the totals of many."""

from typing import Any

from synthbench.cli import console
from synthbench.cli.output import escape
from synthbench.cli.totals import result_totals
from synthbench.client.amounts import cost_text
from synthbench.contracts.events import AttemptStarted, StepRecorded
from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.records import Rollout
from synthbench.contracts.rewards import totals
from synthbench.contracts.steps import Observation, Step, ToolCall
from synthbench.contracts.trajectory import AttemptContext, Trajectory

_WIDTH = 76
_VERDICT_STYLE = {"accept": "green", "review": "yellow", "reject": "red"}
_OUTCOME_STYLE = {"solved": "green", "infra_error": "red", "cancelled": "yellow"}


def outcome(name: str) -> str:
    """An outcome in its colour."""
    style = _OUTCOME_STYLE.get(name, "yellow")
    return f"[{style}]{name}[/{style}]"


def verdict(name: str) -> str:
    """A verdict in its colour."""
    style = _VERDICT_STYLE.get(name, "white")
    return f"[{style}]{name}[/{style}]"


def started(event: AttemptStarted) -> None:
    """The head of an attempt."""
    rollout, box = event.rollout, event.context.sandbox
    driver = f"{rollout.scaffold} with {rollout.route}" if rollout.route else rollout.scaffold
    place = box.engine if box.isolated else f"{box.engine}, NOT ISOLATED"
    attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
    attempt += begun_after(event.context, rollout)
    console.out.print(
        f"[bold]{escape(rollout.task.name)}[/bold] ({rollout.task.category}, {rollout.task.difficulty})"
        f" · {escape(driver)} · {place}{attempt}"
    )


def begun_after(context: AttemptContext, rollout: Rollout) -> str:
    """Return, for people, which attempt or trajectory an attempt goes on from; empty where it began anew."""
    if context.resumed_from is None:
        return ""
    fork = rollout.forked_from
    whose = (
        f"attempt {context.resumed_attempt}" if context.resumed_attempt else f"trajectory {fork and fork.trajectory_id}"
    )
    return f", goes on after step {context.resumed_from} of {whose}"


def recorded(event: StepRecorded) -> None:
    """One step, as it is recorded."""
    console.out.print(step_line(event.step))


def step_line(step: Step) -> str:
    """One step on one line: number (from 0, as in the record), what was called, how it ended, seconds."""
    seconds = (step.finished_at - step.started_at).total_seconds()
    if step.kind == "condensation":
        message = escape(_clip(step.action.message.strip()))
        return (
            f"  {step.index:>3}  [magenta]condensed[/magenta] {message}\n       [dim]old turns · {seconds:.2f} s[/dim]"
        )
    calls = [_call(call) for call in step.action.tool_calls]
    action = "; ".join(calls) or _clip(step.action.message.strip() or "(no action)")
    answers = ", ".join(_answer(o) for o in step.observations)
    changed = f" · changed {len(step.state.changed)}" if step.state.changed else ""
    return f"  {step.index:>3}  {action}\n       [dim]{answers or 'ok'}{changed} · {seconds:.2f} s[/dim]"


def _call(call: ToolCall) -> str:
    arguments = parse_object(call.arguments)
    if not arguments:
        return f"[cyan]{escape(call.name)}[/cyan] {escape(_clip(call.arguments if call.error else ''))}"
    texts = [str(value).strip().split("\n")[0] for value in list(arguments.values())[:2]]
    return f"[cyan]{escape(call.name)}[/cyan] {escape(_clip(' '.join(texts)))}"


def _answer(observation: Observation) -> str:
    if observation.error:
        return f"[yellow]{escape(observation.error)}[/yellow]"
    lines = observation.content.count("\n") + (not observation.content.endswith("\n") and bool(observation.content))
    size = f"{lines} line{'s' if lines != 1 else ''}"
    return size if observation.exit_code in (None, 0) else f"[yellow]exit {observation.exit_code}[/yellow], {size}"


def _clip(text: str) -> str:
    text = text.replace("\n", " ⏎ ")
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def summary(trajectory: Trajectory, detail: dict[str, Any], location: str) -> None:
    """The end of `generate-trajectory`: outcome, reward and its parts, scores, tokens, cost, where the JSON lies."""
    tests = trajectory.verification.tests if trajectory.verification else []
    passed = sum(test.status == "passed" for test in tests)
    parts = totals(trajectory.rewards) if trajectory.rewards else {}
    usage = trajectory.usage
    scores = [as_object(score) for score in as_list(detail.get("scores"))]
    rows = {
        "outcome": f"{outcome(trajectory.outcome)}  {escape(trajectory.detail)}",
        "reward": f"{trajectory.reward:g}  " + ", ".join(f"{name} {share:.2f}" for name, share in parts.items()),
        "tests": f"{passed} of {len(tests)} passed",
        "scores": ", ".join(f"{score['check']} {score['score']:.2f}" for score in scores) or "none",
        "verdict": f"{verdict(str(detail.get('verdict')))} (quality), {detail.get('curation')} (diversity)",
        "steps": str(len(trajectory.steps)),
        "tokens": f"{usage.input_tokens} in, {usage.output_tokens} out",
        "cost": cost_text(usage.cost_microusd, known=usage.cost_known),
    }
    if trajectory.rollout.simulated:
        rows["note"] = "simulated: kept out of exports unless asked for by name"
    if imported := trajectory.imported:
        word = {True: "solved", False: "not solved", None: "nothing"}[imported.resolved]
        rows["imported"] = escape(f"{imported.format}, {imported.file}; it says {word}, and nothing was verified here")
    if refused := trajectory.context.sandbox.refused_hosts:
        rows["refused"] = f"the sandbox asked for {escape(_clip(', '.join(refused)))}, which it may not reach"
    if begun := begun_after(trajectory.context, trajectory.rollout):
        rows["begun"] = begun.removeprefix(", ")
    rows |= {"trajectory": str(trajectory.trajectory_id), "stored": escape(location)}
    for label, value in rows.items():
        console.out.print(f"[dim]{label:<12}[/dim]{value}")


def campaign_totals(entries: list[dict[str, Any]]) -> None:
    """Print the results of many trajectories: by model, by task, and why those that are not solved ended."""
    for by in ("model", "task"):
        found = result_totals(entries, by)
        console.table(found.columns, found.rows)
        console.out.print()
