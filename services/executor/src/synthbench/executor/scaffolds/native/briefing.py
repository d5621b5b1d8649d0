"""The prompts of the native scaffold: templates, in a folder for each version."""

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from synthbench.contracts.scaffold_args import NativeOptions
from synthbench.executor.scaffold import World

if TYPE_CHECKING:
    from jinja2 import Environment

VERSION = 2
"""Version of the templates in `prompts/`; a changed prompt is a new folder."""


def prompt_version(args: NativeOptions) -> str:
    """Return the version of the prompts for the record: version, variant, and whether actions are text."""
    return f"native/{VERSION}/{args.prompt}" + ("/text" if args.actions == "text" else "")


def system_prompt(world: World, args: NativeOptions, tools: list[dict[str, Any]]) -> str:
    """Return the system prompt, in the variant that is wanted."""
    return _render(args.prompt, world, args, tools)


def task_prompt(world: World, args: NativeOptions) -> str:
    """Return the first user message: the task."""
    return _render("task", world, args, [])


def condensing_prompt(world: World, args: NativeOptions) -> str:
    """Return the system prompt that asks for a summary of old turns."""
    return _render("condense", world, args, [])


@cache
def _templates() -> "Environment":
    # PLC0415: seven processes start together, and this one needs templates only when an attempt begins.
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415 - as said above

    folder = resources.files("synthbench.executor.scaffolds.native").joinpath("prompts", str(VERSION))
    load = FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8"))
    environment = Environment(loader=load, undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)  # noqa: S701 - prompts, no HTML
    environment.filters["tojson"] = _plain_json
    return environment


def _plain_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _render(name: str, world: World, args: NativeOptions, tools: list[dict[str, Any]]) -> str:
    return (
        _templates()
        .get_template(f"{name}.md.j2")
        .render(
            instruction=world.package.instruction.strip(),
            workdir=world.sandbox.workdir,
            visible_check=world.package.own.visible_check,
            timeout=f"{world.settings.tool_timeout_seconds:g}",
            persistent=args.shell == "persistent",
            text=args.actions == "text",
            tools=tools,
        )
    )
