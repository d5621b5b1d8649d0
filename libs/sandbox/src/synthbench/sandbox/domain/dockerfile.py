"""Reads from a Dockerfile which image it builds on. Source: the Dockerfile reference, FROM and ARG."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_ESCAPE = re.compile(r"^#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE | re.MULTILINE)
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_ARG = re.compile(r"^ARG\s+(\w+)=(\S+)\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: its words on one line, and the lines that it takes."""

    words: str
    last_line: int


def instructions(text: str) -> Iterator[Instruction]:
    """Read instructions; comments are left out, continued lines joined."""
    found = _ESCAPE.search(text.partition("\nFROM")[0])
    escape = found.group(1) if found else "\\"
    words = ""
    for number, line in enumerate(text.splitlines()):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue  # also inside of a continued instruction
        if stripped.endswith(escape):
            words += stripped.removesuffix(escape) + " "
            continue
        yield Instruction(words + stripped, number)
        words = ""


def base_images(text: str) -> Sequence[str]:
    """Names of the images that a Dockerfile starts from, without its own stages; in order, each once."""
    arguments: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    found: dict[str, None] = {}
    for instruction in instructions(text):
        if (argument := _ARG.match(instruction.words)) and not found:
            arguments[argument.group(1)] = argument.group(2).strip("\"'")
        elif start := _FROM.match(instruction.words):
            name = _expanded(start.group(1), arguments)
            if name.lower() not in stages:
                found[name] = None
            if start.group(2):
                stages.add(start.group(2).lower())
    return list(found)


def labelled(text: str, label: str) -> str:
    """Return the Dockerfile with a label in each stage: then even a build that fails leaves nothing without it.

    Args:
        text: the Dockerfile.
        label: `name=value`.
    """
    lines = text.splitlines()
    for instruction in reversed(list(instructions(text))):
        if _FROM.match(instruction.words):
            lines.insert(instruction.last_line + 1, f"LABEL {label}")
    return "\n".join(lines) + "\n"


def _expanded(name: str, arguments: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda m: arguments.get(m.group(1) or m.group(3)) or m.group(2) or "", name)
