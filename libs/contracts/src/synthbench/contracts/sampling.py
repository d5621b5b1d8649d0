"""Sampling parameters of model calls, checked where they come in.

The most particular word wins: what an agent's own request says, then the submission's parameters, then the model's own
in `models.toml`.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from synthbench.contracts.loose import as_object
from synthbench.contracts.model import Record
from synthbench.contracts.numbers import LARGEST
from synthbench.contracts.text import WITHOUT_NUL, Argument

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

_EXTRA_MOST, _EXTRA_CHARACTERS = 32, 4096
"""They travel in the attempt's key, which is a header."""
_OWN = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "reasoning_effort", "seed")
_NOT_SAMPLING = ("model", "messages", "tools", "stream", "stream_options", "n", "system")


class Sampling(Record):
    """Parameters of every model call of a rollout; what is not set is left to the model."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """Of one answer."""
    reasoning_effort: ReasoningEffort | None = None
    seed: int | None = Field(default=None, ge=-LARGEST, le=LARGEST)
    """Sample k of a submission is asked with `seed` + k."""
    extra_body: dict[Annotated[str, StringConstraints(min_length=1, max_length=100), WITHOUT_NUL], Argument] = {}
    """Further fields of the request's body, by name: each value is JSON as text, such as `{"top_k": "40"}`."""

    @field_validator("extra_body")
    @classmethod
    def _fields(cls, given: dict[str, str]) -> dict[str, str]:
        for name, text in given.items():
            if name in _OWN:
                raise ValueError(f"{name} is a parameter of its own")
            if name in _NOT_SAMPLING:
                raise ValueError(f"{name} is not for a submission to say")
            try:
                json.loads(text, parse_constant=_no_number)
            except (ValueError, RecursionError):
                raise ValueError(f"{name}: {text[:80]!r} is no JSON; a text needs its quotes") from None
        return given

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len(self.extra_body) > _EXTRA_MOST or sum(map(len, self.extra_body.values())) > _EXTRA_CHARACTERS:
            raise ValueError(f"extra_body: at most {_EXTRA_MOST} fields of {_EXTRA_CHARACTERS} characters in all")
        return self

    @property
    def extra(self) -> dict[str, Any]:
        """The values of `extra_body`, parsed from their JSON."""
        return {name: json.loads(text) for name, text in self.extra_body.items()}

    def over(self, other: "Sampling") -> "Sampling":
        """These parameters, and another's where these say nothing."""
        own = self.model_dump(exclude_none=True, exclude={"extra_body"})
        return other.model_copy(update={**own, "extra_body": {**other.extra_body, **self.extra_body}})


def written_by_hand(value: object) -> object:
    """A table of a TOML file as `Sampling` takes it: there the values of `extra_body` are written as TOML has them.

    Whatever is no table passes through, for `Sampling` to refuse.
    """
    table = as_object(value)
    extra = as_object(table.get("extra_body"))
    if not extra:
        return value
    return {**table, "extra_body": {name: json.dumps(field, default=str) for name, field in extra.items()}}


def _no_number(text: str) -> float:
    raise ValueError(text)
