"""A claim lives as long as its process, and everybody can see it."""

import subprocess
import sys

import pytest

from synthbench.sandbox.host.claims import NameClaim, claimed
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec


def test_a_name_is_taken_once_and_free_afterwards():
    first = NameClaim("test-once")
    with pytest.raises(OSError, match="in use"):
        NameClaim("test-once")
    assert "test-once" in claimed()
    first.release()
    assert "test-once" not in claimed()


def test_a_killed_process_leaves_no_claim():
    code = (
        "from synthbench.sandbox.host.claims import NameClaim; c = NameClaim('test-killed'); print(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "test-killed" in claimed()
        process.kill()
    assert "test-killed" not in claimed()


async def test_a_sandbox_with_limits_claims_its_group(bubblewrap: SandboxEngine):
    sandbox = await bubblewrap.create(SandboxSpec(owner="test"))
    if any(line.startswith("memory:") for line in sandbox.isolation.unenforced):
        pytest.skip("no control groups here")
    assert sandbox.id in claimed()
    await sandbox.close()
    assert sandbox.id not in claimed()
