"""The errors of sandboxes, each with its cause and a cure in one line."""


class SandboxError(Exception):
    """The sandbox could not do what was asked; this is a failure of ours, never of the agent.

    Args:
        cause: what happened.
        mend: what a person can do about it; empty where nothing helps.
    """

    def __init__(self, cause: str, mend: str = "") -> None:
        self.cause = cause
        self.mend = mend
        super().__init__(f"{cause}; {mend}" if mend else cause)


class EngineUnavailable(SandboxError):
    """This engine cannot run here."""


class SpecRefused(SandboxError):
    """This engine does not offer what a spec asks for, and offers nothing in its place."""


class SandboxClosed(SandboxError):
    """The sandbox was closed before, or while, it was asked."""


class SandboxKilled(SandboxError):
    """Somebody outside ended the sandbox (its container, its PID 1); what it held in memory is gone with it."""


class PathRefused(SandboxError):
    """A path is missing, of the wrong kind, or leads out of the workspace."""


class ArchiveRefused(SandboxError):
    """An archive holds something that may not enter a workspace; nothing of it was unpacked."""


class ImageFailed(SandboxError):
    """An image cannot be had: not pulled, or not built."""
