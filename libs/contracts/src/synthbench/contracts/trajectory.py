"""The canonical trajectory: lossless, every export is derived from it."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Count, Moment, Real, SmallCount
from synthbench.contracts.records import ArtifactRef, Digest, KeptFile, Outcome, Rollout, Timing, Usage
from synthbench.contracts.rewards import Rewards
from synthbench.contracts.steps import Step
from synthbench.contracts.text import JsonText, Line, Name, Text
from synthbench.contracts.verification import VerificationResult

SCHEMA = "synthbench.trajectory.v1"
REFUSED_HOSTS_MOST = 100


class SandboxInfo(Record):
    """The sandbox in which the agent worked."""

    engine: Name = ""
    version: Name = ""
    isolated: bool = True
    unenforced: list[Line] = []
    """Limits that this host could not enforce, each with the reason."""
    image_digest: Name | None = None
    refused_hosts: Annotated[list[Line], Field(max_length=REFUSED_HOSTS_MOST)] = []
    """Where it asked to go by its network and might not, as "name:port", each once, the first hundred."""


class AttemptContext(Record):
    """The circumstances of an attempt that its steps do not show."""

    instruction: Text = ""
    system_prompt: Text = ""
    tools: JsonText = "[]"
    """The tool schemas offered to the model: a JSON list as text, OpenAI's function format."""
    scaffold_version: Name = ""
    prompt_version: Name = ""
    synthbench_version: Name = ""
    executor: Name = ""
    sandbox: SandboxInfo = SandboxInfo()
    resumed_from: SmallCount | None = None
    """Index of the step whose checkpoint this attempt started from: an earlier attempt's, or a forked trajectory's."""
    resumed_attempt: SmallCount | None = None
    """The earlier attempt of the same rollout that was resumed; None for a fork's own beginning."""
    lost: list[Text] = []
    """What resuming could not bring back: running processes, the home and /tmp, files that no checkpoint holds."""


class Imported(Record):
    """The origin of a trajectory that was made elsewhere. Its outcome and label were not verified here."""

    format: Name
    """`mini-swe-agent`, `swe-agent`, `atif`, `messages`, `json` (a record of ours)."""
    file: Text = ""
    """Its name, without folders."""
    number: SmallCount = 0
    """Which one in its file, from 0."""
    digest: Digest
    """Of the document's canonical JSON: the same however its file is laid out."""
    original: ArtifactRef | None = None
    """The document as it came."""
    resolved: bool | None = None
    """Whether it solved its task, by its own word or a list of labels; None where nobody says."""
    left_out: dict[Text, Count] = {}
    """What has no place in the record, and how often it was there."""


class Trajectory(Record):
    """The ordered steps of one attempt, with its outcome and rewards."""

    schema_version: Literal["synthbench.trajectory.v1"] = SCHEMA
    trajectory_id: UUID
    rollout: Rollout
    attempt: SmallCount
    context: AttemptContext = AttemptContext()
    steps: list[Step] = []
    outcome: Outcome
    detail: Line = ""
    """One line for people: why it ended like this."""
    incomplete: Line | None = None
    """Why steps may be missing at the end (an attempt that was closed without a report); None if it is whole."""
    reward: Real = 0.0
    """The scalar of `rewards`."""
    verification: VerificationResult | None = None
    rewards: Rewards | None = None
    """Part by part; None where nothing was verified, and in records from before there were parts."""
    diff: ArtifactRef | None = None
    patch: Text = ""
    """The agent's whole change as a unified text diff, for people and exports; `diff` is the exact one."""
    usage: Usage = Usage()
    """Of this attempt's own steps: copied ones were paid for where they come from."""
    timing: Timing = Timing()
    """Of this attempt's own steps."""
    started_at: Moment | None = None
    finished_at: Moment | None = None
    kept: list[KeptFile] = []
    """The files from the sandbox that the task wants to keep."""
    imported: Imported | None = None
    """Set where it was made by others: it never counts, and enters no export unless asked for by name."""

    @property
    def verified_reward(self) -> float:
        """The verifier's own, whatever the weights of its parts; 0.0 where nothing was verified."""
        return self.verification.reward if self.verification else 0.0


class TrajectorySummary(Record):
    """The facets by which trajectories are listed, filtered and balanced."""

    task_name: Name
    task_digest: Digest
    category: Name = ""
    difficulty: Name = ""
    scaffold: Name = ""
    route: Name = ""
    model: Name = ""
    outcome: Outcome
    reward: Real = 0.0
    steps: SmallCount = 0
    usage: Usage = Usage()
    seconds: Real = 0.0
    simulated: bool = False
    forgeable: bool = False
