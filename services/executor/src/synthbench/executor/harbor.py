"""The harbor profile: foreign packages, whose tests run where the agent worked, and write their reward themselves.

Whatever they write the agent's code could have written: each result says `forgeable`. Source: Harbor's verifier.
"""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from time import monotonic

from synthbench.chassis.errors import one_line
from synthbench.chassis.telemetry import span
from synthbench.contracts.verification import TestResult, VerificationResult
from synthbench.executor.domain.rewards import Reward, RewardUnreadable, read_reward
from synthbench.executor.workspace.changes import apply_changes
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.result import RunResult
from synthbench.sandbox.spec import SandboxSpec
from synthbench.tasks import TaskPackage
from synthbench.tasks.verify import CtrfReport, grade

LOGS = "logs"
_VERIFIER = f"/{LOGS}/verifier"
_SECONDS = 30.0
_FILE = 1024 * 1024  # bytes of one file that is read
_FOLDER = 64 * 1024 * 1024  # bytes of all that the tests wrote


async def make_logs(sandbox: Sandbox) -> None:
    """Make the folders that Harbor's agents and tests write to."""
    await sandbox.put(_folders(f"{LOGS}/agent", f"{LOGS}/verifier", f"{LOGS}/artifacts"), to="/")


async def bring(sandbox: Sandbox, archive: bytes) -> None:
    """Put a folder of the package to the top of the container."""
    await sandbox.put(archive, to="/")


async def verify_in_place(sandbox: Sandbox, package: TaskPackage) -> VerificationResult:
    """Run the tests in the agent's own container, beside what it left running.

    Returns:
        The result; with `error` where no verdict could be reached, which is our failure.
    """
    began = monotonic()
    with span("verify", attributes={"synthbench.task": package.id, "synthbench.profile": "harbor"}):
        try:
            result = await _tested(sandbox, package)
        except SandboxError as error:
            result = VerificationResult(error=one_line(error))
    engines = {"code": sandbox.isolation.engine, "tests": sandbox.isolation.engine}
    known = {"seconds": monotonic() - began, "forgeable": True, "in_place": True, "engines": engines}
    return result.model_copy(update=known)


async def verify_apart(
    engine: SandboxEngine, package: TaskPackage, changes: Sequence[bytes], spec: SandboxSpec
) -> VerificationResult:
    """Run the tests in a fresh container of the same image, with the agent's change of the workspace.

    Args:
        engine: makes it.
        package: the task.
        changes: archives, applied one after the other.
        spec: as the agent's was.

    Raises:
        SandboxError: it could not be run.
    """
    if package.verified_in_place:
        return VerificationResult(
            error=f"the tests of {package.id} run where the agent worked, and only once", forgeable=True
        )
    sandbox = await engine.create(spec)
    try:
        left_out = await apply_changes(sandbox, changes)
        await make_logs(sandbox)
        result = await _tested(sandbox, package)
    finally:
        await sandbox.close()
    return result.model_copy(update={"forgeable": True, "left_out": left_out})


async def _tested(sandbox: Sandbox, package: TaskPackage) -> VerificationResult:
    """Bring the tests, run them, read what they wrote."""
    await sandbox.run(["rm", "-rf", "/tests", _VERIFIER], cwd="/", timeout=_SECONDS)
    await sandbox.put(_folders(f"{LOGS}/verifier"), to="/")
    await bring(sandbox, package.foreign_archive("tests"))
    verifier = package.manifest.verifier
    done = await sandbox.run(["/tests/test.sh"], env=verifier.env, timeout=verifier.timeout_sec)
    if done.timed_out:
        return VerificationResult(error=f"the tests took more than {verifier.timeout_sec:g} s")
    written = _regular_files(await sandbox.fetch(_VERIFIER, max_bytes=_FOLDER) or b"")
    try:
        reward = read_reward(written.get("reward.json"), written.get("reward.txt"))
    except RewardUnreadable as error:
        return VerificationResult(error=f"{error}; {_last_words(done)}")
    return _result(reward, written.get("ctrf.json"))


def _result(reward: Reward, report: bytes | None) -> VerificationResult:
    return VerificationResult(reward=reward.total, reward_parts=dict(reward.parts), tests=_tests(report))


def _tests(report: bytes | None) -> list[TestResult]:
    """The tests one by one, where a CTRF report tells of them; the reward does not follow from it."""
    try:
        found = CtrfReport.model_validate(json.loads(report or b"{}")["results"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return grade(found, (), ()).tests


def _last_words(done: RunResult) -> str:
    words = " ".join((done.stderr_text or done.stdout_text).split())
    return f"test.sh ended with {done.exit_code}: {words[-300:]}" if words else f"test.sh ended with {done.exit_code}"


def _folders(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(info)
    return buffer.getvalue()


def _regular_files(archive: bytes) -> Mapping[str, bytes]:
    """Plain files at the top of a folder that anybody may have filled, by name; links and big files are not there."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for member in tar:
                _, _, name = member.name.partition("/")
                if member.isreg() and not member.issparse() and "/" not in name and member.size <= _FILE:
                    file = tar.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise SandboxError(f"what the tests wrote cannot be read ({error})") from error
    return found
