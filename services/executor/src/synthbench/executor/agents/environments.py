"""The environments of external agents: where they lie on this machine and inside a sandbox."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from synthbench.executor.domain.endings import PermanentFailure
from synthbench.sandbox.inside import Mount

_INSIDE = PurePosixPath("/opt/synthbench-agents")
_STAMP = "installed"


@dataclass(frozen=True)
class AgentEnvironment:
    """One agent's environment: `python` (an interpreter that can be moved), `site` (packages), maybe `source`."""

    name: str
    modules: Sequence[str]
    """Are imported once when it is installed: they must be there, and work with this Python."""
    python: tuple[int, int] = (3, 11)
    """The oldest Python that it runs on."""
    source: Sequence[str] = ()
    """Folders of its own repository that it needs: such an agent is on no package index."""

    @property
    def lock(self) -> str:
        """The pinned requirements, with hashes."""
        recipes = resources.files("synthbench.executor.agents").joinpath("recipes")
        return recipes.joinpath(f"{self.name}.lock").read_text("utf-8")

    @property
    def digest(self) -> str:
        """Says whether what is installed is what is wanted."""
        return hashlib.sha256(self.lock.encode()).hexdigest()

    def folder(self, root: Path) -> Path:
        """Return the environment's folder on this machine."""
        return root / self.name

    def installed(self, root: Path) -> bool:
        """Return whether it is installed, exactly as its lock says."""
        stamp = self.folder(root) / _STAMP
        return stamp.is_file() and stamp.read_text() == self.digest

    def seal(self, folder: Path) -> None:
        """Mark a folder as complete."""
        (folder / _STAMP).write_text(self.digest)

    def mount(self, root: Path) -> Mount:
        """Return the environment as a mount for a sandbox.

        Raises:
            PermanentFailure: it is not installed here.
        """
        if not self.installed(root):
            more = " --checkout DIR" if self.source else ""
            raise PermanentFailure(
                f"{self.name} is not installed in {root}; run `synth-bench scaffolds install {self.name}{more}`",
                "submission",
            )
        return Mount(source=self.folder(root), target=str(_INSIDE / self.name))

    def command(self, root: Path, program: str, *, isolated: bool) -> str:
        """Words for a shell inside that run a Python file, with the path of the packages as its argument.

        The program takes LD_LIBRARY_PATH out of its environment: it is for this interpreter alone.

        Args:
            root: where environments lie on this machine.
            program: the file, as a shell takes it.
            isolated: whether the sandbox sees the mount, else the folder itself.
        """
        seen = _INSIDE / self.name if isolated else PurePosixPath(self.folder(root))
        start = f'exec "{seen}/python/bin/python3" -I -S {program} "{seen}/site"'
        return f'LD_LIBRARY_PATH="{seen}/python/lib" {start}'


_MINI = (
    "minisweagent.run.mini",
    "minisweagent.models.litellm_model",
    "minisweagent.agents.interactive",
    "minisweagent.environments.local",
    "litellm.llms.openai.openai",
)
_OPENHANDS = ("openhands.agent_server.api", "openhands.tools.terminal", "openhands.tools.file_editor")
_SWE_AGENT = ("litellm.llms.openai.openai", "swerex.deployment.local", "git", "ghapi.all", "unidiff", "simple_parsing")
ENVIRONMENTS = {
    one.name: one
    for one in (
        AgentEnvironment("mini-swe-agent", _MINI),
        AgentEnvironment("openhands", _OPENHANDS, (3, 12)),
        AgentEnvironment("swe-agent", _SWE_AGENT, source=("sweagent", "tools", "config")),
    )
}
