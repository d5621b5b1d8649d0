"""The arguments of each tool, from which the schemas follow that the model is given."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("no NUL can stand in it")
    return text


Word = Annotated[str, AfterValidator(_without_nul)]
"""Text that a command or a path can be made of."""


class Arguments(BaseModel):
    """Arguments of a tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bash(Arguments):
    """Run a shell command in the workspace. The working folder is kept between calls; background processes are not."""

    command: Word = Field(description="A bash command line or script.")
    timeout: float | None = Field(default=None, gt=0, description="Seconds until it is killed.")


class PersistentBash(Bash):
    """Run a script in a shell that stays: folder, variables, functions and background jobs are there the next time."""


class ReadFile(Arguments):
    """Read a text file, with line numbers."""

    path: Word = Field(description="Relative to the workspace.")
    start_line: int = Field(default=1, ge=1)
    end_line: int | None = Field(default=None, ge=1, description="Inclusive; to the end if left out.")


class WriteFile(Arguments):
    """Create or replace a file."""

    path: Word = Field(description="Relative to the workspace.")
    content: str


class EditFile(Arguments):
    """Replace a piece of a file. `old_text` must be there exactly once."""

    path: Word = Field(description="Relative to the workspace.")
    old_text: str = Field(min_length=1)
    new_text: str


class UndoEdit(Arguments):
    """Take back the last edit_file of a file; again for the one before."""

    path: Word = Field(description="Relative to the workspace.")


class Search(Arguments):
    """Search files for a regular expression; answers path:line:text. Hidden, ignored and binary files are left out."""

    pattern: Word = Field(min_length=1)
    path: Word = Field(default=".", description="File or folder to search in.")
    glob: Word = Field(default="", description="Only files that match, like *.py or src/**; !*.md for all but those.")
    ignore_case: bool = False
    context: int = Field(default=0, ge=0, le=20, description="Lines to show before and after each match.")


class Submit(Arguments):
    """Hand in the work. Nothing can be changed afterwards."""

    summary: str = Field(default="", description="What was done, in a sentence or two.")


TOOLS: dict[str, type[Arguments]] = {
    "bash": Bash,
    "read_file": ReadFile,
    "write_file": WriteFile,
    "edit_file": EditFile,
    "undo_edit": UndoEdit,
    "search": Search,
    "submit": Submit,
}


def schemas(*, persistent: bool = False) -> list[dict[str, Any]]:
    """The tools in OpenAI's function format.

    Args:
        persistent: bash is a shell that stays.
    """
    tools = {**TOOLS, "bash": PersistentBash} if persistent else TOOLS
    return [_schema(name, model) for name, model in tools.items()]


def _schema(name: str, model: type[Arguments]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.pop("title", None)
    description = schema.pop("description", "")
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def as_json(offered: list[dict[str, Any]]) -> str:
    """Return the tools as the JSON that the record keeps."""
    return json.dumps(offered, sort_keys=True)
