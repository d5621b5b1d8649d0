"""The answers of tools, and how much of a long one a model is shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ToolAnswer:
    """The answer of one tool call."""

    content: str
    exit_code: int | None = None
    """The exit code of a command; None for other tools, and where the command was killed."""
    total_bytes: int | None = None
    """Bytes that a command printed, those left out included; None where `content` is all of it."""
    error: str | None = None
    """A kind of failure, such as `bad_arguments` or `timeout`; None where the tool worked."""


class ToolFailed(Exception):
    """The tool could not do it; the agent is told why."""

    def __init__(self, message: str, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


def head_and_tail(content: str, limit: int) -> str | None:
    """Shorten a text of more than `limit` characters to its head and tail, with a line that says what is left out.

    Returns:
        The shortened text; None where the text is no longer than the limit.
    """
    if len(content) <= limit:
        return None
    head, tail = content[: limit * 3 // 4], content[-(limit // 4) :]
    return f"{head}\n[… {len(content) - len(head) - len(tail):,} characters left out; narrow the output …]\n{tail}"
