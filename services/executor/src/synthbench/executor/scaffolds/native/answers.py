"""What a tool hands back to the toolbox."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a tool found."""

    content: str
    exit_code: int | None = None
    total_bytes: int | None = None
    error: str | None = None


class ToolFailed(Exception):
    """The tool could not do it; the agent is told why."""

    def __init__(self, message: str, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind
