"""A sandbox makes sockets of the families that it needs, and of no other."""

import json
import socket

import pytest

from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

TRY = """
import ctypes, json
libc, made = ctypes.CDLL(None, use_errno=True), {}
for call in ("socket", "socketpair"):
    for family in (*range(64), 255, 2**32 + 1, -1):
        for kind in (1, 2, 3, 5):
            pair = (ctypes.c_int * 2)()
            if call == "socket":
                found = libc.socket(ctypes.c_long(family), kind, 0)
            else:
                found = libc.socketpair(ctypes.c_long(family), kind, 0, pair)
            if found >= 0:
                made.setdefault(call, set()).add(family & 0xFFFFFFFF)
print(json.dumps({call: sorted(families) for call, families in made.items()}))
"""
USUAL = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}


@pytest.fixture
async def isolated(engine: SandboxEngine):
    if engine.name == "process":
        pytest.skip("the process engine does not isolate")
    sandbox = await engine.create(SandboxSpec(owner="test"))
    yield sandbox
    await sandbox.close()


async def test_every_family_but_the_usual_ones_is_refused(isolated: Sandbox):
    result = await isolated.run(["python3", "-c", TRY], timeout=30)
    assert result.exit_code == 0, result.stderr_text
    made = {call: set(families) for call, families in json.loads(result.stdout).items()}
    assert made["socket"] <= USUAL
    assert {socket.AF_UNIX, socket.AF_INET} <= made["socket"]
    assert made["socketpair"] == {socket.AF_UNIX}
