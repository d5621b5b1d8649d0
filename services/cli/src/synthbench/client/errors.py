"""The error that a person sees: one line with the cause and the cure, and an exit code."""


class CliError(Exception):
    """Printed as one line on stderr; the process ends with `exit_code`."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
