"""One agent turn: (state, action, observation, reward), with usage and timing."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from synthbench.contracts.ids import canonical_json, sha256_digest
from synthbench.contracts.model import Record
from synthbench.contracts.numbers import LARGEST_INT, Count, Integer, Moment, Real, SmallCount
from synthbench.contracts.records import ArtifactRef, Digest, Timing, Usage
from synthbench.contracts.text import JsonText, Line, Name, Text


class ToolCall(Record):
    """One tool call of the agent."""

    id: Text
    name: Text
    arguments: JsonText = "{}"
    """A JSON object as text, exactly as the model wrote it; `error` says if it is no JSON."""
    error: Line | None = None


class Action(Record):
    """The agent's turn."""

    message: Text = ""
    reasoning: Text = ""
    tool_calls: list[ToolCall] = []


class Observation(Record):
    """The answer of the environment to one tool call, or to a turn without one (`tool_call_id` empty)."""

    tool_call_id: Text = ""
    content: Text = ""
    """Untruncated up to the sandbox's output cap; `total_bytes` says how much there was."""
    shown: Text | None = None
    """What the model was shown, where that is not `content`: mostly less, or the same in an agent's own frame."""
    exit_code: Integer | None = None
    total_bytes: Count = 0
    error: Line | None = None
    """Kind of failure: a limit that was hit (`timeout`, `oom`, `pids`, `disk`), `bad_arguments`, `unknown_tool`, …"""
    seconds: Real = 0.0


class ChangedPath(Record):
    """One path of the workspace that a step changed."""

    path: Text
    kind: Literal["added", "modified", "deleted"]
    type: Literal["file", "symlink", "directory"] = "file"
    digest: Name | None = None
    size: Count = 0


class State(Record):
    """The environment after the step."""

    cwd: Text = ""
    exit_code: Integer | None = None
    changed: list[ChangedPath] = []
    patch: Text = ""
    """Unified diff of text files since the step before."""
    checkpoint: ArtifactRef | None = None
    """Archive of what the step changed: the initial workspace, and the checkpoints of the steps 0..k one after the
    other, are the files after step k. None where nothing changed, or where no checkpoint is kept."""
    left_out: dict[Text, Text] = {}
    """Paths that changed and are not in the checkpoint, each with the reason: devices, links out, what is too big."""


class ModelCall(Record):
    """The model call behind the action, lossless: requests of an attempt only grow, so each step keeps what is new.

    The request of step k is `base` of step 0 with `messages` of the steps 0..k, one after the other; where `whole` is
    set, the messages before that step are not part of it.
    """

    call_id: UUID | None = None
    """The gateway's id of the call (`llm.called`)."""
    model: Text = ""
    provider: Text = ""
    base: JsonText = ""
    """JSON object as text: the request without `messages`; empty where it equals the step before's."""
    messages: JsonText = "[]"
    """JSON list as text: messages added to the request since the step before."""
    response: JsonText = ""
    """The raw response body as text."""
    sampling: JsonText = ""
    """JSON object as text: the sampling parameters that the provider got, whoever named them (the agent, the
    submission, models.toml), in the provider's words; empty where it got none."""
    whole: bool = False
    """The request does not go on from the one before (another conversation, a shortened one): `messages` are all."""


class StepOrigin(Record):
    """The step that another one is a copy of: there its work was done, and paid for."""

    rollout_id: UUID
    attempt: int = Field(ge=1, le=LARGEST_INT)
    index: SmallCount = 0


class Step(Record):
    """One step of an attempt. Its id is (rollout, attempt, index)."""

    index: SmallCount = 0
    kind: Literal["turn", "condensation"] = "turn"
    """A condensation is no turn of the agent: a model call whose answer stands for old turns in later requests."""
    started_at: Moment
    finished_at: Moment
    action: Action = Action()
    observations: list[Observation] = []
    state: State = State()
    reward: Real = 0.0
    reward_parts: dict[Name, Real] = {}
    usage: Usage = Usage()
    timing: Timing = Timing()
    model_call: ModelCall | None = None
    """None for scaffolds that use no model."""
    copied_from: StepOrigin | None = None
    """Set where an attempt resumed or forked: the step was taken over, not done again."""
    native: JsonText = ""
    """JSON as text: what the agent itself wrote down of this step, in its own format; empty where it has none."""
    digest: Digest | Literal[""] = ""
    """Over everything else in the step, see `step_digest`."""

    def sealed(self) -> "Step":
        """Return the step as whoever reads it will have it, with its digest filled in.

        It is validated first: a copy with changes (`model_copy`) was never checked, and what differs once it is read
        (an integer in a field of floats, text that is no Unicode) would differ from its digest.
        """
        read = Step.model_validate(self.model_dump(warnings=False))
        return read.model_copy(update={"digest": step_digest(read)})


def step_digest(step: Step) -> str:
    """Digest of the canonical JSON of all fields but `digest`.

    Fields that the contract got later count only where they are set, so that the digests of older records still hold.
    """
    content = step.model_dump(mode="json")
    later_fields_left_out(content)
    return sha256_digest(canonical_json(content))


def later_fields_left_out(content: dict[str, Any]) -> None:
    """Make the JSON of a step what its digest is over.

    Raises:
        KeyError, TypeError: it lacks fields.
    """
    del content["digest"]
    call = content["model_call"] or {"whole": False, "sampling": ""}
    if content["kind"] == "turn":
        del content["kind"]
    state, usage = content["state"], content["usage"]
    later = ((content, "copied_from"), (content, "native"), (call, "whole"), (call, "sampling"))
    for holder, name in (*later, (state, "checkpoint"), (state, "left_out"), (usage, "cache_write_1h_tokens")):
        if not holder[name]:
            del holder[name]
