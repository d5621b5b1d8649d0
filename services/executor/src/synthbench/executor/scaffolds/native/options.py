"""The scaffold's arguments: what a submission may choose of it."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from synthbench.executor.domain.endings import InfraFailure
from synthbench.executor.scaffolds.native.commands import ShellKind


class NativeOptions(BaseModel):
    """See docs/native.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shell: ShellKind = "one-shot"
    """Each command in a shell of its own, or all in one that stays."""
    prompt: Literal["formal", "concise", "detailed"] = "formal"
    """Which of the prompts."""
    actions: Literal["tools", "text"] = "tools"
    """Function calling, or one fenced block in the answer's text, for models that know no tools."""


def read_options(given: Mapping[str, str]) -> NativeOptions:
    """Check the arguments of a rollout.

    Raises:
        InfraFailure: there is no such argument or value; with those that there are.
    """
    try:
        return NativeOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if name not in NativeOptions.model_fields:
        known = ", ".join(NativeOptions.model_fields)
        raise InfraFailure(f"scaffold native has no argument {name!r}; it has {known}")
    expected = first.get("ctx", {}).get("expected", "a text")
    raise InfraFailure(f"scaffold native takes no {name}={first['input']!r}; {name} is {expected}")
