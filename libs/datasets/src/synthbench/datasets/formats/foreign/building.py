"""What every reader of a foreign trajectory makes, and how that becomes our record."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from synthbench.contracts.ids import derived_id, sha256_digest
from synthbench.contracts.loose import as_count, as_list, as_object
from synthbench.contracts.records import ArtifactRef, Outcome, Rollout, TaskInfo, Usage
from synthbench.contracts.steps import Step
from synthbench.contracts.text import valid_text
from synthbench.contracts.trajectory import AttemptContext, Imported, Trajectory

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Where nobody says when something was."""
_NAME = 200


class ForeignError(ValueError):
    """A document that cannot be taken over: why, in one line."""


@dataclass(frozen=True)
class Source:
    """Where a document comes from, and what the importer says of it."""

    file: str
    """Its name, without folders."""
    digest: str
    """Of the document's bytes."""
    number: int = 0
    """Which one in its file, from 0."""
    original: ArtifactRef | None = None
    campaign: str = "imported"
    resolved: bool | None = None
    """What a list of labels says; wins over the document's own word."""
    scaffold: str = ""
    model: str = ""
    task: str = ""


@dataclass
class Foreign:
    """A trajectory as its own format tells it."""

    scaffold: str
    version: str = ""
    model: str = ""
    task: str = ""
    instruction: str = ""
    system_prompt: str = ""
    tools: str = "[]"
    steps: list[Step] = field(default_factory=list[Step])
    outcome: Outcome = Outcome.UNSOLVED
    detail: str = ""
    resolved: bool | None = None
    patch: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    left_out: Counter[str] = field(default_factory=Counter[str])
    """Fields that have no place in our record, and how often they were there; the original is kept as it was."""

    def trajectory(self, source: Source, form: str) -> Trajectory:
        """The record. Its ids follow from the document's content, so the same one is the same trajectory.

        Raises:
            ForeignError: there is no step in it, or a value that no record can hold.
        """
        if not self.steps:
            raise ForeignError("there is no turn of an assistant in it")
        resolved = self.resolved if source.resolved is None else source.resolved
        identity = (source.digest, source.number)
        rollout_id = derived_id("imported", *identity)
        task = _one_line(source.task or self.task or source.file)
        steps = [_resealed(step, index) for index, step in enumerate(self.steps)]
        outcome = self.outcome
        if outcome in (Outcome.SOLVED, Outcome.UNSOLVED):
            outcome = Outcome.SOLVED if resolved else Outcome.UNSOLVED
        try:
            made = Trajectory(
                trajectory_id=derived_id("trajectory", rollout_id, 1),
                rollout=Rollout(
                    rollout_id=rollout_id,
                    submission_id=derived_id("imported", source.campaign, source.digest),
                    campaign=source.campaign,
                    task=TaskInfo(
                        name=f"imported/{task}", digest=sha256_digest(self.instruction.encode("utf-8", "replace"))
                    ),
                    scaffold=_one_line(source.scaffold or self.scaffold),
                    route=_one_line(source.model or self.model),
                    pool="imported",
                ),
                attempt=1,
                context=AttemptContext(
                    instruction=self.instruction,
                    system_prompt=self.system_prompt,
                    tools=self.tools,
                    scaffold_version=_one_line(self.version),
                ),
                steps=steps,
                outcome=outcome,
                detail=_one_line(self.detail),
                patch=self.patch,
                usage=sum((step.usage for step in steps), Usage()),
                started_at=self.started_at,
                finished_at=self.finished_at,
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ForeignError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        imported = Imported(
            format=form, file=_one_line(source.file), number=source.number, digest=source.digest,
            original=source.original, resolved=resolved, left_out=dict(sorted(self.left_out.items())),
        )  # fmt: skip
        return made.model_copy(update={"imported": imported})


def _one_line(value: str) -> str:
    """A name: one short line, without NUL."""
    return " ".join(valid_text(value).replace("\0", " ").split())[:_NAME]


def _resealed(step: Step, index: int) -> Step:
    return Step.model_validate(step.model_dump() | {"index": index}).sealed()


def unknown_fields(where: str, found: Mapping[str, Any], known: set[str]) -> Counter[str]:
    """What a reader does not look at, as `left_out` counts it."""
    return Counter(f"{where}{name}" for name in found if name not in known)


def as_text(value: object) -> str:
    """A message's content as a text: as it is, its text parts, or as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return "".join(str(as_object(part).get("text") or "") for part in as_list(value))  # pyright: ignore[reportUnknownArgumentType] - any JSON
    return json.dumps(value, ensure_ascii=False)


def parts_left_out(value: object) -> Counter[str]:
    """Content parts that are no text."""
    parts = map(as_object, as_list(value))
    return Counter(f"content parts: {part.get('type')}" for part in parts if "text" not in part)


def usage_of(usage: Mapping[str, Any], *, cost_usd: object = None) -> Usage:
    """OpenAI's usage; the cost where it is told."""
    told = [one for one in (cost_usd, usage.get("cost")) if isinstance(one, int | float) and one >= 0]
    return Usage(
        calls=1,
        input_tokens=as_count(usage.get("prompt_tokens")),
        cached_tokens=as_count(as_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        output_tokens=as_count(usage.get("completion_tokens")),
        reasoning_tokens=as_count(as_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        cost_microusd=round(told[0] * 1_000_000) if told else 0,
        cost_known=bool(told),
    )


def moment(value: object) -> datetime | None:
    """A time: seconds since 1970, or ISO 8601; None where it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
