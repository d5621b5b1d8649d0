"""What an operator sees of sandboxes."""

from prometheus_client import REGISTRY

from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"synthbench_{name}", labels) or 0.0


async def test_sandboxes_commands_and_limits_are_counted(bubblewrap: SandboxEngine):
    await bubblewrap.probe()
    names = {"engine": "bubblewrap"}
    before = [
        value("sandboxes_open", **names),
        value("sandbox_create_seconds_count", **names),
        value("sandbox_command_seconds_count", **names),
        value("sandbox_limits_hit_total", **names, limit="timeout"),
    ]
    sandbox = await bubblewrap.create(SandboxSpec(owner="t", limits=SandboxLimits()))
    opened = value("sandboxes_open", **names)
    await sandbox.run(["true"], timeout=10)
    await sandbox.run(["sleep", "9"], timeout=0.2)
    await sandbox.close()
    await sandbox.close()
    after = [
        value("sandboxes_open", **names),
        value("sandbox_create_seconds_count", **names),
        value("sandbox_command_seconds_count", **names),
        value("sandbox_limits_hit_total", **names, limit="timeout"),
    ]
    assert opened == before[0] + 1
    assert [now - then for now, then in zip(after, before, strict=True)] == [0, 1, 2, 1]
