"""Why a call is refused or failed, in OpenAI's error format."""

from typing import Any


class Refusal(Exception):
    """What the caller gets instead of an answer.

    Args:
        status: HTTP status.
        code: stable, for programs.
        message: one line, for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self) -> dict[str, Any]:
        """As OpenAI's API says it."""
        kind = "invalid_request_error" if self.status < 500 else "api_error"
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.code}}
