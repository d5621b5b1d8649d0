"""Verification without sandboxes: two temporary folders and plain processes stand in for the two sides."""

import asyncio
import sys
import tempfile
from pathlib import Path

from synthbench.tasks import Changes, TaskPackage
from synthbench.tasks.verify import DRIVER, CtrfReport, Grade, grade, serve_verification
from synthbench.tasks.verify.server import MAX_LINE, RemoteRun


class FolderCode:
    """The code under test in a plain folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.operations = 0

    async def run(self, argv: list[str], stdin: bytes, timeout: float, cwd: str) -> RemoteRun:
        self.operations += 1
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=self.folder / cwd, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), timeout)
        except TimeoutError:
            process.kill()
            await process.wait()
            return RemoteRun(None, b"", b"", timed_out=True)
        return RemoteRun(process.returncode, out, err, timed_out=False)

    async def read(self, path: str) -> bytes:
        self.operations += 1
        return (self.folder / path).read_bytes()

    async def write(self, path: str, data: bytes) -> None:
        self.operations += 1
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(data)


def put(folder: Path, changes: Changes) -> None:
    for name, data in changes.items():
        path = folder / name
        if data is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


async def verify(package: TaskPackage, code: FolderCode) -> Grade:
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), {name: file.data for name, file in package.below("tests/").items()})
        socket = f"{folder}/channel.sock"
        report: asyncio.Future[CtrfReport] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                report.set_result(await serve_verification(reader, writer, code))
            except Exception as error:  # noqa: BLE001 - handed to the waiting test
                report.set_exception(error)
            writer.close()

        server = await asyncio.start_unix_server(serve, socket, limit=MAX_LINE)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", f"{folder}/{DRIVER}", "--tests", folder, "--socket", socket
        )
        found = await asyncio.wait_for(report, 60)
        await process.wait()
        server.close()
    return grade(found, package.own.fail_to_pass, package.own.pass_to_pass)


async def verify_changes(package: TaskPackage, changes: Changes) -> tuple[Grade, int]:
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), package.workspace_files())
        put(Path(folder), changes)
        code = FolderCode(Path(folder))
        return await verify(package, code), code.operations
