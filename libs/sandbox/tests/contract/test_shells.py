"""A shell that stays between scripts."""

import asyncio

import pytest

from synthbench.sandbox.errors import SandboxClosed, SpecRefused
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec

ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
both = pytest.mark.parametrize("engine", ENGINES, indirect=True)


@pytest.mark.parametrize("engine", ["process"], indirect=True)
async def test_an_engine_without_a_channel_says_so(sandbox: Sandbox):
    with pytest.raises(SpecRefused, match="no channel"):
        await sandbox.shell()


@both
async def test_folder_variables_functions_and_jobs_stay(sandbox: Sandbox):
    shell = await sandbox.shell(env={"GIVEN": "g"})
    first = await shell.run(
        "mkdir -p a/b; cd a/b; X=1; export Y=2; f() { echo f$1; }; (sleep 0.3; echo late) & echo $GIVEN", timeout=10
    )
    assert (first.exit_code, first.stdout, first.cwd) == (0, b"g\n", f"{sandbox.workdir}/a/b")
    second = await shell.run("echo $X $Y; f 3; printf 'e\\0\\377' >&2; false", timeout=10)
    assert (second.exit_code, second.stdout, second.stderr) == (1, b"1 2\nf3\n", b"e\0\xff")
    third = await shell.run("wait; return 7", timeout=10)
    assert (third.exit_code, third.stdout, third.restarted) == (7, b"late\n", False)
    beside = await sandbox.run(["sh", "-c", "echo beside"], timeout=10)
    assert beside.stdout == b"beside\n"
    assert (await shell.run("echo $X", timeout=10)).stdout == b"1\n"
    await shell.close()
    await shell.close()
    with pytest.raises(SandboxClosed):
        await shell.run("true", timeout=5)


@both
async def test_a_script_whose_time_is_over_dies_and_the_shell_stays(sandbox: Sandbox):
    shell = await sandbox.shell()
    await shell.run("X=kept; (while :; do date +%N >job; sleep 0.02; done) & cd /tmp", timeout=10)
    script = "echo begun; bash -c 'while :; do date +%N >/tmp/beat; sleep 0.02; done' | cat; echo never"
    over = await shell.run(script, timeout=0.5)
    assert (over.exit_code, over.timed_out, over.restarted, over.stdout) == (None, True, False, b"begun\n")
    # in brackets: who writes it may have been killed between emptying and filling it
    after = await shell.run('echo "[$(cat /tmp/beat)]"; sleep 0.2; echo "[$(cat /tmp/beat)]"; echo $X', timeout=10)
    first, second, kept = after.stdout.splitlines()
    assert first == second
    assert (kept, after.cwd) == (b"kept", "/tmp")
    before = await sandbox.read("job")
    async with asyncio.timeout(10):
        while await sandbox.read("job") == before:
            await asyncio.sleep(0.05)


@both
@pytest.mark.parametrize(
    "script", ["trap '' USR1; while :; do :; done", "trap '' USR1; while :; do sleep 0.1; done", "kill -9 $$", "exit 4"]
)
async def test_a_shell_that_hangs_or_ends_is_replaced_in_its_last_folder(sandbox: Sandbox, script: str):
    shell = await sandbox.shell()
    await shell.run("mkdir d; cd d; X=1", timeout=10)
    over = await shell.run(script, timeout=0.5)
    assert over.restarted, over
    assert over.exit_code == {"exit 4": 4, "kill -9 $$": 137}.get(script)
    after = await shell.run("echo ${X-gone}; pwd", timeout=10)
    assert after.stdout_text == f"gone\n{sandbox.workdir}/d\n"


@both
async def test_much_output_is_capped_and_a_kill_or_a_cancel_ends_what_runs(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t", limits=SandboxLimits(output_bytes=4096)))
    shell = await sandbox.shell()
    much = await shell.run("head -c 5000000 /dev/zero; echo end", timeout=20)
    assert (much.stdout_total, len(much.stdout)) == (5_000_004, 4096)
    running = asyncio.create_task(shell.run("sleep 60", timeout=60))
    await asyncio.sleep(0.3)
    await sandbox.kill()
    assert (await asyncio.wait_for(running, 10)).restarted
    running = asyncio.create_task(shell.run("while :; do date +%N >beat; sleep 0.02; done", timeout=60))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    before = await sandbox.read("beat")
    await asyncio.sleep(0.2)
    assert await sandbox.read("beat") == before
    assert (await shell.run("echo well", timeout=10)).stdout == b"well\n"
    await sandbox.close()
