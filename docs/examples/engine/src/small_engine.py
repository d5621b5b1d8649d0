"""Bubblewrap sandboxes that get no more than 256 MB of memory and one processor, whatever their task asks for."""

from synthbench.sandbox.bubblewrap import BubblewrapEngine
from synthbench.sandbox.host.local import LocalSandbox
from synthbench.sandbox.spec import SandboxSpec

MEMORY_MB, CPUS = 256, 1.0


class SmallEngine(BubblewrapEngine):
    """Follows `synthbench.sandbox.protocol.SandboxEngine`; its name is that of its entry point, and of its pool."""

    name = "small"

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        """Make a sandbox with lower limits."""
        limits = {"memory_mb": min(spec.limits.memory_mb, MEMORY_MB), "cpus": min(spec.limits.cpus, CPUS)}
        return await super().create(spec.model_copy(update={"limits": spec.limits.model_copy(update=limits)}))
