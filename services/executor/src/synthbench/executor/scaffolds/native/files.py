"""The tools that read and change files."""

import asyncio

from synthbench.executor.scaffolds.native.answers import ToolAnswer, ToolFailed
from synthbench.executor.scaffolds.native.arguments import EditFile, ReadFile, UndoEdit, WriteFile
from synthbench.executor.scaffolds.native.edits import History, make_edit
from synthbench.executor.scaffolds.native.lines import TextFile, lines_of
from synthbench.sandbox.protocol import Sandbox

_FILE_BYTES = 4 * 1024 * 1024


class FileTools:
    """The file tools of one attempt, with the edits that can be taken back."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.history = History(sandbox.workdir)

    async def read(self, wanted: ReadFile) -> ToolAnswer:
        """Return the lines of a file, each with its number."""
        lines = lines_of((await self._file(wanted.path)).text)
        if wanted.start_line > max(1, len(lines)):
            raise ToolFailed(f"{wanted.path} has {len(lines)} lines")
        if wanted.end_line is not None and wanted.end_line < wanted.start_line:
            raise ToolFailed(f"end_line {wanted.end_line} is before start_line {wanted.start_line}", "bad_arguments")
        chosen = lines[wanted.start_line - 1 : wanted.end_line]
        return ToolAnswer("\n".join(f"{number:>5}\t{line}" for number, line in enumerate(chosen, wanted.start_line)))

    async def write(self, wanted: WriteFile) -> ToolAnswer:
        """Write a whole file."""
        await self._sandbox.write(wanted.path, wanted.content.encode())
        return ToolAnswer(f"wrote {len(wanted.content.encode())} bytes to {wanted.path}")

    async def edit(self, wanted: EditFile) -> ToolAnswer:
        """Replace one piece of a file."""
        file = await self._file(wanted.path)
        # Looking for lines that are alike takes its time in a large file; the loop has others to serve.
        new, edit = await asyncio.to_thread(make_edit, wanted.path, file, wanted.old_text, wanted.new_text)
        await self._sandbox.write(wanted.path, new.encoded())
        return ToolAnswer(f"replaced 1 piece in {wanted.path}, {edit.told}")

    async def undo(self, wanted: UndoEdit) -> ToolAnswer:
        """Take back the last edit of a file."""
        edit = self.history.last(wanted.path)
        before = await asyncio.to_thread(edit.undone, await self._file(wanted.path))
        if before is None:
            raise ToolFailed(f"{wanted.path} was changed {edit.place} since; edit it by hand", "no_match")
        await self._sandbox.write(wanted.path, before.encoded())
        return ToolAnswer(f"took back the edit of {wanted.path} {edit.place}")

    async def _file(self, path: str) -> TextFile:
        data = await self._sandbox.read(path, max_bytes=_FILE_BYTES)
        try:
            return await asyncio.to_thread(TextFile.decoded, data)
        except UnicodeDecodeError as error:
            raise ToolFailed(f"{path} is no UTF-8 text; look at it with a command") from error
