"""Arguments of our own scaffold: what a submission may choose, checked where it comes in and where it runs."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ShellKind = Literal["one-shot", "persistent"]


class NativeOptions(BaseModel):
    """The arguments of the native scaffold, which docs/native.md describes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shell: ShellKind = "one-shot"
    """Each command in a shell of its own, or all in one that stays."""
    prompt: Literal["formal", "concise", "detailed"] = "formal"
    """Which of the prompts."""
    actions: Literal["tools", "text"] = "tools"
    """Function calling, or one fenced block in the answer's text, for models that know no tools."""
    context_tokens: int = Field(default=100_000, ge=1000)
    """From so many tokens on the conversation is made shorter."""


class ArgumentError(ValueError):
    """There is no such argument, or no such value of it; `name` says which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def read_native(given: Mapping[str, str]) -> NativeOptions:
    """Check the arguments of the scaffold `native`.

    Raises:
        ArgumentError: in one line, with what there is.
    """
    try:
        return NativeOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if name not in NativeOptions.model_fields:
        known = ", ".join(NativeOptions.model_fields)
        raise ArgumentError(name, f"scaffold native has no argument {name!r}; it has {known}")
    expected = first.get("ctx", {}).get("expected") or first["msg"].removeprefix("Input should be ")
    raise ArgumentError(name, f"scaffold native takes no {name}={first['input']!r}; {name} is {expected}")
