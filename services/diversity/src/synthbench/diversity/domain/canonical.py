"""The text by which trajectories are compared: what the agent did and changed, without what differs by chance. Pure."""

import re

from synthbench.contracts.trajectory import Trajectory

_MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b(?:sha256:)?[0-9a-f]{32,64}\b", re.IGNORECASE), "<hash>"),
    (re.compile(r"(?<![\w/.])(?:/[\w.+-]+)+/(?=[\w.+-])"), "<path>/"),
    (re.compile(r"\b\d+(?:\.\d+)?\s?(?:ms|s|seconds|bytes|[KMG]i?B)\b"), "<quantity>"),
)
_TOKEN = re.compile(r"\w+|[^\w\s]")


def masked(text: str) -> str:
    """Replace ids, times, hashes, folders and quantities by their kind; masking twice is the same as once."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def canonical_text(trajectory: Trajectory) -> str:
    """Actions and patch of a trajectory; system prompt and task text, which all attempts share, are left out."""
    actions = [f"{call.name} {call.arguments}" for step in trajectory.steps for call in step.action.tool_calls] or [
        step.action.message for step in trajectory.steps
    ]
    return masked("\n".join([*actions, "== patch ==", trajectory.patch]))


def shingles(text: str, size: int = 5) -> set[str]:
    """Overlapping runs of `size` tokens; a shorter text is one shingle."""
    tokens = _TOKEN.findall(text.lower())
    if len(tokens) <= size:
        return {" ".join(tokens)}
    return {" ".join(tokens[start : start + size]) for start in range(len(tokens) - size + 1)}
