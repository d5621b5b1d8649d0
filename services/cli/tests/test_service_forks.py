"""Services are forks of one process that imported their code: started, watched and ended as any other child."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from synthbench.client.errors import CliError
from synthbench.embedded.service_forks import ServiceForks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")

TELL = """
import json, os, sys, dearly_imported
told = {"env": dict(os.environ), "argv": sys.argv, "name": __name__, "pid": os.getpid(), "session": os.getsid(0)}
told["comm"] = open("/proc/self/comm").read()
told["imported_by"] = dearly_imported.PID
print(json.dumps(told), flush=True)
print("an error line", file=sys.stderr)
assert sys.stdin.read() == ""
raise SystemExit(3)
"""
IMPORTED = "import os\nPID = os.getpid()\n"
SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(60)\n"
LOOK = r"""
import re
found = 0
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for span, rights, *_ in map(str.split, maps):
        if "w" in rights:
            first, last = (int(end, 16) for end in span.split("-"))
            memory.seek(first)
            found += len(re.findall(rb"secret-[0-9]{8}", memory.read(last - first)))
print(found, flush=True)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from."""
    monkeypatch.chdir(tmp_path)
    programs = {"tell": TELL, "asleep": SLEEP, "look": LOOK, "dearly_imported": IMPORTED, "broken": "raise ImportError"}
    for name, text in programs.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.fixture
async def server(modules: Path) -> AsyncGenerator[ServiceForks]:
    made = ServiceForks(["dearly_imported"], modules / "server.log")
    yield made
    await made.stop()


def runs(pid: int) -> bool:
    """Whether it runs; one that ended may wait for an init process that takes no notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_asleep(log: Path) -> None:
    async with asyncio.timeout(20):
        while not log.exists() or "asleep" not in log.read_text():
            await asyncio.sleep(0.01)


async def test_a_fork_runs_the_module_as_main_with_its_own_environment_session_and_log(
    server: ServiceForks, modules: Path
):
    env = {"A": "1", "LONG": "x" * 200_000}  # more than a pipe holds
    process = await server.start("tell", log=modules / "log", env=env)
    assert await asyncio.wait_for(process.wait(), 20) == 3
    first, error = (modules / "log").read_text().splitlines()
    told = json.loads(first)
    assert told["env"] == env
    assert (told["name"], told["pid"], told["session"]) == ("__main__", process.pid, process.pid)
    assert told["argv"] == [str(modules / "tell.py")]
    assert told["comm"] == "tell\n"
    assert error == "an error line"
    assert told["imported_by"] == server.pid  # not imported again
    assert process.returncode == 3
    with pytest.raises(ProcessLookupError):
        process.kill()


async def test_forks_side_by_side_end_by_the_signal_that_each_was_sent(server: ServiceForks, modules: Path):
    logs = [modules / f"log-{number}" for number in range(4)]
    processes = await asyncio.gather(*(server.start("asleep", log=log, env={}) for log in logs))
    assert len({process.pid for process in processes}) == 4
    for log in logs:
        await until_asleep(log)
    processes[0].send_signal(signal.SIGTERM)
    processes[1].kill()
    os.kill(processes[2].pid, signal.SIGABRT)  # by somebody else
    codes = [await asyncio.wait_for(process.wait(), 20) for process in processes[:3]]
    assert codes == [-signal.SIGTERM, -signal.SIGKILL, -signal.SIGABRT]
    assert processes[3].returncode is None


async def test_what_one_fork_was_given_is_in_the_memory_of_no_other(server: ServiceForks, modules: Path):
    secret = "secret-12345678"
    holder = await server.start("asleep", log=modules / "holder", env={"KEY": secret})
    await until_asleep(modules / "holder")
    found = {}
    for name, env in (("other", {}), ("itself", {"KEY": secret})):
        process = await server.start("look", log=modules / name, env=env)
        assert await asyncio.wait_for(process.wait(), 20) == 0, (modules / name).read_text()
        found[name] = int((modules / name).read_text())
    assert found["other"] == 0
    assert found["itself"] >= 1  # the look finds what is there
    assert holder.returncode is None


async def test_forks_end_with_their_server_and_the_next_one_is_of_a_new_server(server: ServiceForks, modules: Path):
    process = await server.start("asleep", log=modules / "log", env={})
    await until_asleep(modules / "log")
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGTERM
    assert not runs(process.pid)
    again = await server.start("tell", log=modules / "again", env={})
    assert await asyncio.wait_for(again.wait(), 20) == 3
    assert server.pid not in {None, first}


async def test_a_server_whose_imports_fail_says_so_and_names_the_log(modules: Path):
    server = ServiceForks(["broken"], modules / "server.log")
    with pytest.raises(CliError, match=r"the fork server ended; see .*server\.log"):
        await server.start("tell", log=modules / "log", env={})
    assert "ImportError" in (modules / "server.log").read_text()
    await server.stop()


async def test_the_server_holds_no_setting_of_a_service(server: ServiceForks, modules: Path, monkeypatch):
    monkeypatch.setenv("SYNTHBENCH_API_TOKEN", "a-token")
    monkeypatch.setenv("SOME_PROVIDER_KEY", "a-key")
    process = await server.start("asleep", log=modules / "log", env={"KEY": "b"})
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"a-token" not in environment
    assert b"a-key" not in environment
