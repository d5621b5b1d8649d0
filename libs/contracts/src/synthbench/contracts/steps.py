"""One agent turn: (state, action, observation, reward), with usage and timing."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from synthbench.contracts.ids import canonical_json, sha256_digest
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef, Digest, Timing, Usage


class ToolCall(Record):
    """What the agent asked for."""

    id: str
    name: str
    arguments: str = "{}"
    """A JSON object as text, exactly as the model wrote it; `error` says if it is no JSON."""
    error: str | None = None


class Action(Record):
    """The agent's turn."""

    message: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = []


class Observation(Record):
    """What the environment answered to one tool call, or to a turn without one (`tool_call_id` empty)."""

    tool_call_id: str = ""
    content: str = ""
    """Untruncated up to the sandbox's output cap; `total_bytes` says how much there was."""
    shown: str | None = None
    """What the model was shown, where that is shorter than `content`."""
    exit_code: int | None = None
    total_bytes: int = 0
    error: str | None = None
    """Kind of failure: a limit that was hit (`timeout`, `oom`, `pids`, `disk`), `bad_arguments`, `unknown_tool`, …"""
    seconds: float = 0.0


class ChangedPath(Record):
    """One path of the workspace that a step changed."""

    path: str
    kind: Literal["added", "modified", "deleted"]
    type: Literal["file", "symlink", "directory"] = "file"
    digest: str | None = None
    size: int = 0


class State(Record):
    """The environment after the step."""

    cwd: str = ""
    exit_code: int | None = None
    changed: list[ChangedPath] = []
    patch: str = ""
    """Unified diff of text files since the step before."""
    checkpoint: ArtifactRef | None = None
    """Archive of what the step changed: the initial workspace, and the checkpoints of the steps 0..k one after the
    other, are the files after step k. None where nothing changed, or where no checkpoint is kept."""
    left_out: dict[str, str] = {}
    """Paths that changed and are not in the checkpoint, each with the reason: devices, links out, what is too big."""


class ModelCall(Record):
    """The model call behind the action, lossless: requests of an attempt only grow, so each step keeps what is new.

    The request of step k is `base` of step 0 with `messages` of the steps 0..k, one after the other; where `whole` is
    set, the messages before that step are not part of it.
    """

    call_id: UUID | None = None
    """The gateway's id of the call (`llm.called`)."""
    model: str = ""
    provider: str = ""
    base: str = ""
    """JSON object as text: the request without `messages`; empty where it equals the step before's."""
    messages: str = "[]"
    """JSON list as text: messages added to the request since the step before."""
    response: str = ""
    """The raw response body as text."""
    sampling: str = ""
    """JSON object as text: the sampling parameters that the provider got, whoever named them (the agent, the
    submission, models.toml), in the provider's words; empty where it got none."""
    whole: bool = False
    """The request does not go on from the one before (another conversation, a shortened one): `messages` are all."""


class StepOrigin(Record):
    """The step that another one is a copy of: there its work was done, and paid for."""

    rollout_id: UUID
    attempt: int = Field(ge=1)
    index: int = 0


class Step(Record):
    """One step of an attempt. Its id is (rollout, attempt, index)."""

    index: int = 0
    kind: Literal["turn", "condensation"] = "turn"
    """A condensation is no turn of the agent: a model call whose answer stands for old turns in later requests."""
    started_at: datetime
    finished_at: datetime
    action: Action = Action()
    observations: list[Observation] = []
    state: State = State()
    reward: float = 0.0
    reward_parts: dict[str, float] = {}
    usage: Usage = Usage()
    timing: Timing = Timing()
    model_call: ModelCall | None = None
    """None for scaffolds that use no model."""
    copied_from: StepOrigin | None = None
    """Set where an attempt resumed or forked: the step was taken over, not done again."""
    native: str = ""
    """JSON as text: what the agent itself wrote down of this step, in its own format; empty where it has none."""
    digest: Digest | Literal[""] = ""
    """Over everything else in the step, see `step_digest`."""

    def sealed(self) -> "Step":
        """Return the step with its digest filled in."""
        return self.model_copy(update={"digest": step_digest(self)})


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
    later = ((content, "copied_from"), (content, "native"), (call, "whole"), (call, "sampling"))
    for holder, name in (*later, (content["state"], "checkpoint"), (content["state"], "left_out")):
        if not holder[name]:
            del holder[name]
