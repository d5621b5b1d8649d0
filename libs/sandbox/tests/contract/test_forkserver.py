"""A forked run is what a command of its own would be; on engines without isolation it is one."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from synthbench.sandbox.forkserver import PYTHON, SOCKET, ForkServer, fork_server
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.result import RunResult
from synthbench.sandbox.spec import SandboxSpec

LIMIT = 64_000
PROGRAMS = {
    "prints": "import sys; print('out', sys.argv); print('err', file=sys.stderr)",
    "exit code": "import sys; sys.exit(3)",
    "exit words": "raise SystemExit('gone')",
    "os._exit": "import os; os._exit(7)",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "standard input": "import sys; print(sys.stdin.read()[::-1])",
    "standard input by name": "print(open('/dev/stdin').read())",
    "standard output by name": "open('/dev/stdout', 'w').write('named')",
    "main": "import sys; print(__name__, __builtins__ is not None, sys.modules['__main__'].__dict__ is globals())",
    "path": "import sys; print(sys.path, sys.flags.isolated, sys.flags.no_site)",
    "folder": "import os; print(os.getcwd().endswith('inner'), os.listdir())",
    "atexit": "import atexit; atexit.register(print, 'last words')",
    "threads": "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
    "children": "import subprocess; print(subprocess.run(['echo', 'child'], capture_output=True).stdout)",
    "descriptors": "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd') if int(f) < 3))",
    "environment": "import os; print(os.environ['HOME'], os.environ['PATH'])",
    "much": "print('x' * 200_000)",
}


@pytest.fixture
async def pair(engine: SandboxEngine) -> AsyncGenerator[tuple[Sandbox, ForkServer]]:
    async with fork_server(engine) as server:
        sandbox = await engine.create(SandboxSpec(owner="test", sockets={SOCKET: server.path}))
        await sandbox.write("inner/file", b"")
        await server.start(sandbox, output_bytes=LIMIT)
        yield sandbox, server
        await sandbox.close()


def told(result: RunResult) -> tuple[object, ...]:
    return result.exit_code, result.stdout[:1000], result.stderr[:1000], result.stdout_total, result.timed_out


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_run_is_what_a_command_is(pair: tuple[Sandbox, ForkServer], name: str):
    sandbox, server = pair
    words = ["one", "two words"]
    command = await sandbox.run([*PYTHON, PROGRAMS[name], *words], cwd="inner", stdin=b"fed", timeout=20)
    for _ in range(2):
        forked = await server.run(PROGRAMS[name], words, cwd="inner", stdin=b"fed", timeout=20)
        assert told(forked) == told(command)


async def test_an_exception_ends_with_one_and_a_traceback(pair: tuple[Sandbox, ForkServer]):
    result = await pair[1].run("1 / 0", [], timeout=20)
    assert result.exit_code == 1
    assert result.stderr_text.rstrip().endswith("ZeroDivisionError: division by zero")


async def test_output_is_capped_and_counted(pair: tuple[Sandbox, ForkServer]):
    result = await pair[1].run("print('x' * 1_000_000)", [], timeout=20)
    assert result.stdout_total == 1_000_001
    if pair[0].isolation.isolated:
        assert len(result.stdout) == LIMIT


async def test_nothing_of_a_run_reaches_the_next(pair: tuple[Sandbox, ForkServer]):
    await pair[1].run("import os, sys, json; os.environ['A'] = 'b'; json.dumps = None; sys.leaked = 1", [], timeout=20)
    result = await pair[1].run("import os, sys, json; print('A' in os.environ, json.dumps, dir(sys))", [], timeout=20)
    assert result.stdout_text.startswith("False <function dumps")
    assert "leaked" not in result.stdout_text


async def test_what_it_leaves_behind_ends_with_it(pair: tuple[Sandbox, ForkServer]):
    leave = "import subprocess; subprocess.Popen(['sleep', '600.0625'], start_new_session=True)"
    assert (await pair[1].run(leave, [], timeout=20)).exit_code == 0
    look = "import glob; print([open(path, 'rb').read() for path in glob.glob('/proc/[0-9]*/cmdline')])"
    assert "sleep\\x00600.0625" not in (await pair[1].run(look, [], timeout=20)).stdout_text


async def test_one_that_hangs_is_ended_and_the_next_works(pair: tuple[Sandbox, ForkServer]):
    late = await pair[1].run("import time; print('begun', flush=True); time.sleep(60)", [], timeout=0.5)
    assert (late.timed_out, late.exit_code, late.stdout) == (True, None, b"begun\n")
    assert (await pair[1].run("print('next')", [], timeout=20)).stdout == b"next\n"


@pytest.mark.parametrize("deed", ["os.kill(os.getppid(), 9)", "os.kill(os.getppid(), 19)"])
async def test_one_that_attacks_the_server_harms_itself(bubblewrap: SandboxEngine, deed: str):
    async with fork_server(bubblewrap) as server:
        sandbox = await bubblewrap.create(SandboxSpec(owner="test", sockets={SOCKET: server.path}))
        await server.start(sandbox, output_bytes=LIMIT)
        result = await server.run(f"import os; {deed}", [], timeout=1)
        assert result.exit_code is None
        assert (await server.run("print('next')", [], timeout=20)).stdout == b"next\n"
        await sandbox.close()


async def test_nobody_inside_can_call_us(bubblewrap: SandboxEngine):
    async with fork_server(bubblewrap) as server:
        sandbox = await bubblewrap.create(SandboxSpec(owner="test", sockets={SOCKET: server.path}))
        await server.start(sandbox, output_bytes=LIMIT)
        path = sandbox.socket_path(SOCKET)
        call = f"import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect({path!r})"
        result = await server.run(call, [], timeout=20)
        assert "ConnectionRefusedError" in result.stderr_text
        await sandbox.close()


async def test_one_server_serves_many_without_leaving_descriptors(bubblewrap: SandboxEngine):
    async with fork_server(bubblewrap) as server:
        sandbox = await bubblewrap.create(SandboxSpec(owner="test", sockets={SOCKET: server.path}))
        await server.start(sandbox, output_bytes=LIMIT)
        await server.run("pass", [], timeout=20)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(50):
            assert (await server.run("import sys; print(sys.argv[1])", [str(number)], timeout=20)).exit_code == 0
        await asyncio.sleep(0)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
        await sandbox.close()


async def test_a_folder_that_is_not_there_is_the_commands_error(bubblewrap: SandboxEngine):
    async with fork_server(bubblewrap) as server:
        sandbox = await bubblewrap.create(SandboxSpec(owner="test", sockets={SOCKET: server.path}))
        await server.start(sandbox, output_bytes=LIMIT)
        result = await server.run("pass", [], cwd="nowhere", timeout=20)
        assert result.exit_code == 1
        assert "FileNotFoundError" in result.stderr_text
        await sandbox.close()
