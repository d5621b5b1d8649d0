"""Commands in sandboxes, as tests give them."""

from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.result import RunResult


async def shell(sandbox: Sandbox, script: str, timeout: float = 10, **options) -> RunResult:
    return await sandbox.run(["bash", "-c", script], timeout=timeout, **options)
