"""Refusals: a call was refused or failed. Each wire format has its own body for one."""


class Refusal(Exception):
    """Raised where a call gets no answer; the caller gets an error of this status and code.

    Args:
        status: HTTP status.
        code: stable, for programs.
        message: one line, for people.
        retry_after: seconds after which it may be worth asking again.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.waited = 0.0
        """Seconds of our own waits before it."""
