"""Why a call was refused or failed. Each wire says it in its own error format."""


class Refusal(Exception):
    """What the caller gets instead of an answer.

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
