"""What every engine must do. A new engine joins by the `engine` fixture, and must pass all of it."""

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from commands import shell
from synthbench.sandbox.errors import PathRefused, SandboxClosed
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec


async def test_a_command_returns_code_and_both_streams_apart(sandbox: Sandbox):
    result = await shell(sandbox, r"printf 'o\0\377'; printf e >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr, result.timed_out) == (7, b"o\0\xff", b"e", False)


async def test_stdin_reaches_the_command_and_ends(sandbox: Sandbox):
    result = await sandbox.run(["cat"], stdin=b"x" * 300_000, timeout=10)
    assert result.stdout == b"x" * 300_000


async def test_a_command_that_ignores_its_stdin_ends_well(sandbox: Sandbox):
    result = await sandbox.run(["true"], stdin=b"x" * 300_000, timeout=10)
    assert result.exit_code == 0


async def test_a_missing_command_is_127_and_a_signal_128_plus(sandbox: Sandbox):
    assert (await sandbox.run(["no-such-command"], timeout=10)).exit_code == 127
    assert (await shell(sandbox, "kill -TERM $$")).exit_code == 143


async def test_python_is_there(sandbox: Sandbox):
    result = await sandbox.run(["python3", "-c", "import json, sqlite3, ssl; print('ok')"], timeout=20)
    assert result.stdout == b"ok\n", result.stderr_text


async def test_a_timeout_kills_the_whole_tree(sandbox: Sandbox):
    beating = "while :; do date +%N > {0}; sleep 0.02; done"
    script = f"({beating.format('beat')}) & setsid bash -c '{beating.format('beat2')}' & sleep 60"
    result = await shell(sandbox, script, timeout=0.5)
    assert result.timed_out
    assert result.exit_code is None
    before = [await sandbox.read(name) for name in ("beat", "beat2")]
    await asyncio.sleep(0.2)
    assert [await sandbox.read(name) for name in ("beat", "beat2")] == before


async def test_background_processes_end_with_their_command(sandbox: Sandbox):
    await shell(
        sandbox,
        "(setsid bash -c 'while :; do date +%N > beat; sleep 0.02; done' </dev/null >/dev/null 2>&1 &); sleep 0.2",
    )
    before = await sandbox.read("beat")
    await asyncio.sleep(0.2)
    assert await sandbox.read("beat") == before


async def test_kill_ends_a_running_command(sandbox: Sandbox):
    running = asyncio.create_task(shell(sandbox, "echo begun > begun; sleep 60", timeout=60))
    while True:
        try:
            await sandbox.read("begun")
            break
        except PathRefused:
            await asyncio.sleep(0.02)
    await sandbox.kill()
    result = await asyncio.wait_for(running, 5)
    assert result.exit_code is None
    assert not result.timed_out
    assert (await sandbox.run(["true"], timeout=10)).exit_code == 0


@pytest.mark.parametrize("pause", [0, 0.001, 0.002, 0.004, 0.008])
async def test_kill_meets_a_command_that_is_being_started(sandbox: Sandbox, pause: float):
    running = asyncio.create_task(shell(sandbox, "sleep 60", timeout=60))
    await asyncio.sleep(pause)
    await sandbox.kill()
    result = await asyncio.wait_for(running, 5)
    assert (result.exit_code, result.timed_out) == (None, False)


async def test_kill_meets_a_command_that_is_ending(sandbox: Sandbox):
    for number in range(20):
        running = asyncio.create_task(shell(sandbox, "sleep 0.01", timeout=60))
        await asyncio.sleep(0.01 + number * 0.001)
        await asyncio.wait_for(asyncio.gather(sandbox.kill(), sandbox.kill()), 5)
        assert (await asyncio.wait_for(running, 5)).exit_code in {0, None}


async def test_huge_output_is_counted_and_capped(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t", limits=SandboxLimits(output_bytes=4096)))
    result = await shell(sandbox, "echo first; head -c 100000000 /dev/zero; echo last", timeout=30)
    await sandbox.close()
    assert result.stdout_total == 100_000_000 + len("first\nlast\n")
    assert len(result.stdout) == 4096
    assert result.stdout.startswith(b"first")
    assert result.stdout.endswith(b"last\n")
    assert "bytes left out" in result.stdout_text


async def test_the_environment_is_clean(engine: SandboxEngine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PROVIDER_API_KEY", "sk-host-secret")
    sandbox = await engine.create(SandboxSpec(owner="t", env={"GIVEN": "1"}))
    text = (await sandbox.run(["env"], env={"MORE": "2"}, timeout=10)).stdout_text
    await sandbox.close()
    assert "sk-host-secret" not in text
    assert {"GIVEN=1", "MORE=2"} <= set(text.splitlines())


async def test_cwd_is_followed_without_touching_the_output(sandbox: Sandbox):
    await shell(sandbox, "mkdir -p a/b")
    result = await shell(sandbox, "cd a/b && echo out", track_cwd=True)
    assert (result.stdout, result.cwd) == (b"out\n", f"{sandbox.workdir}/a/b")
    again = await shell(sandbox, "pwd", cwd=result.cwd)
    assert again.stdout.decode().strip() == f"{sandbox.workdir}/a/b"
    with pytest.raises(PathRefused, match="no folder"):
        await shell(sandbox, "pwd", cwd="a/none")


async def test_a_socket_is_the_way_out(engine: SandboxEngine, root: Path):
    path = root.parent / "s.sock"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    path.chmod(0o666)
    sandbox = await engine.create(SandboxSpec(owner="t", sockets={"way": path}))
    script = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({sandbox.socket_path('way')!r}); "
        "s.sendall(b'me\\n'); print(s.makefile().read())"
    )
    result = await sandbox.run(["python3", "-c", script], timeout=10)
    await sandbox.close()
    server.close()
    assert result.stdout == b"heard me\n\n", result.stderr_text


async def test_close_leaves_nothing(engine: SandboxEngine, root: Path):
    sandbox = await engine.create(SandboxSpec(owner="t"))
    await shell(sandbox, "mkdir -p a/b && echo x > a/b/c && chmod 0 a/b && chmod 0500 a")
    running = asyncio.create_task(shell(sandbox, "sleep 61.5", timeout=60))
    await asyncio.sleep(0.2)
    await sandbox.close()
    await sandbox.close()
    assert (await running).exit_code is None
    assert [path.name for path in (root / engine.name).iterdir() if not path.name.startswith(".engine")] == []
    left = [path for path in Path("/proc").iterdir() if path.name.isdigit() and b"sleep\x0061.5" in _cmdline(path)]
    assert left == []
    with pytest.raises(SandboxClosed):
        await sandbox.run(["true"], timeout=5)


def _cmdline(path: Path) -> bytes:
    try:
        return (path / "cmdline").read_bytes()
    except OSError:
        return b""


async def test_many_sandboxes_side_by_side_stay_apart(engine: SandboxEngine):
    async def one(number: int) -> bytes:
        sandbox = await engine.create(SandboxSpec(owner=str(number)))
        await sandbox.write("n", str(number).encode())
        result = await shell(sandbox, "sleep 0.1; cat n", timeout=30)
        await sandbox.close()
        return result.stdout

    assert await asyncio.gather(*map(one, range(16))) == [str(number).encode() for number in range(16)]


async def test_limits_hold_or_the_record_says_so(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t", limits=SandboxLimits(memory_mb=64, pids=20)))
    lost = " ".join(sandbox.isolation.unenforced)
    memory = await sandbox.run(["python3", "-c", "x = bytearray(400_000_000); print(len(x))"], timeout=20)
    forks = await shell(sandbox, "for i in $(seq 60); do sleep 5 & done; jobs -p | wc -l", timeout=20)
    await sandbox.close()
    assert memory.exit_code != 0
    if "pids" not in lost:
        assert b"unavailable" in forks.stderr


@pytest.mark.parametrize(
    ("limit", "controller", "script"),
    [
        ("oom", "memory", "python3 -c 'x = bytearray(400_000_000)'; true"),
        ("pids", "pids", "for i in $(seq 60); do sleep 5 & done; true"),
        ("timeout", "", "sleep 30"),
        ("disk", "", "for i in $(seq 200); do dd if=/dev/zero of=$i bs=1M count=8; sleep 0.1; done"),
    ],
)
async def test_a_limit_that_was_hit_is_named(engine: SandboxEngine, limit: str, controller: str, script: str):
    limits = SandboxLimits(memory_mb=64, pids=20, disk_mb=32)
    sandbox = await engine.create(SandboxSpec(owner="t", limits=limits))
    lost = [line.partition(":")[0] for line in sandbox.isolation.unenforced]
    quiet = await shell(sandbox, "true")
    result = await shell(sandbox, f"{{ {script}; }} 2>/dev/null", timeout=4 if limit == "timeout" else 20)
    await sandbox.close()
    assert quiet.hit == ()
    told = engine.name != "process" and controller not in lost  # nobody counts for the process engine
    assert result.hit == ((limit,) if told or not controller else ()), result
    assert (result.exit_code is None) == (limit in {"timeout", "disk"})


async def test_what_has_ended_does_not_count_against_the_limits(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t", limits=SandboxLimits(pids=10)))
    ended = [await sandbox.run(["true"], timeout=10) for _ in range(25)]
    await sandbox.close()
    assert [result.exit_code for result in ended] == [0] * 25


async def test_a_cancelled_run_leaves_no_process(sandbox: Sandbox):
    task = asyncio.create_task(shell(sandbox, "while :; do date +%N > beat; sleep 0.02; done", timeout=60))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    before = await sandbox.read("beat")
    await asyncio.sleep(0.2)
    assert await sandbox.read("beat") == before


async def test_bubblewrap_has_no_network_but_its_loopback(bubblewrap: SandboxEngine):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sandbox = await bubblewrap.create(SandboxSpec(owner="t"))
        script = f"import socket; print(socket.create_connection(('127.0.0.1', {port}), 2))"
        result = await sandbox.run(["python3", "-c", script], timeout=10)
        names = await shell(sandbox, "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '")
        await sandbox.close()
    assert b"Connection refused" in result.stderr
    assert names.stdout.split() == [b"lo"]


async def test_bubblewrap_sees_nothing_of_the_host(bubblewrap: SandboxEngine, root: Path):
    secret = root.parent / "secret"
    secret.write_text("host secret")
    secret.chmod(0o644)
    neighbour = await bubblewrap.create(SandboxSpec(owner="n"))
    await neighbour.write("theirs", b"1")
    sandbox = await bubblewrap.create(SandboxSpec(owner="t"))
    script = (
        f"cat {secret}; ls {root}; cat /etc/shadow; ls /root /var/lib; ls /proc | grep -c '^[0-9]*$'; "
        "touch /usr/x /etc/x /x; "
        "mount -t tmpfs x /tmp; unshare -r true; id -u; head -c 1 /dev/mem"
    )
    result = await shell(sandbox, script)
    everything = result.stdout_text + result.stderr_text
    await sandbox.close()
    await neighbour.close()
    assert "host secret" not in everything
    assert neighbour.id not in everything
    assert result.stdout.split()[-1] == b"1000"
    assert everything.count("Read-only file system") == 3, everything
    assert int(result.stdout.split()[0]) < 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a sandbox a uid of its own")
async def test_each_sandbox_has_a_uid_of_its_own(engine: SandboxEngine, root: Path):
    first, second = await engine.create(SandboxSpec(owner="a")), await engine.create(SandboxSpec(owner="b"))
    for sandbox in (first, second):
        await shell(sandbox, "touch mine")
    owners = {(root / engine.name / sandbox.id / "workspace" / "mine").stat().st_uid for sandbox in (first, second)}
    await first.close()
    await second.close()
    assert len(owners) == 2
    assert 0 not in owners


async def test_a_timeout_returns_in_time(sandbox: Sandbox):
    began = time.monotonic()
    await shell(sandbox, "trap '' TERM INT; sleep 60", timeout=0.3)
    assert time.monotonic() - began < 10


async def test_a_command_that_is_ended_beside_another_leaves_nothing(sandbox: Sandbox):
    beside = asyncio.create_task(shell(sandbox, "sleep 1.5; echo done"))
    await asyncio.sleep(0.1)
    ended = await shell(sandbox, "while :; do date +%N > beat; sleep 0.02; done & sleep 60", timeout=0.4)
    assert ended.timed_out
    await sandbox.write("beat", b"")
    await asyncio.sleep(0.3)
    assert await sandbox.read("beat") == b""
    assert (await beside).stdout == b"done\n"
