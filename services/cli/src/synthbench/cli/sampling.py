"""Sampling parameters as they are typed."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from pydantic import ValidationError

from synthbench.client.errors import CliError
from synthbench.contracts.cloudevents import field_errors
from synthbench.contracts.sampling import Sampling


@dataclass(frozen=True)
class SamplingOptions:
    """Sampling parameters of a request; those that are left out are left to the model, or to `models.toml`."""

    temperature: float | None = None
    "0 to 2."
    top_p: float | None = None
    "Above 0, to 1."
    max_tokens: int | None = None
    "Tokens of one answer, at most."
    reasoning_effort: str | None = None
    "none, minimal, low, medium, high, xhigh or max."
    extra_body: list[str] | None = None
    "NAME=JSON, a further field of the request's body, as often as wanted: `top_k=40`."

    def read(self, seed: int | None) -> Sampling:
        """Return the parameters as a submission takes them.

        Args:
            seed: of the submission, where one was typed.

        Raises:
            CliError: a value is none, in one line with the option's name.
        """
        extra: dict[str, str] = {}
        for pair in self.extra_body or []:
            name, separator, value = pair.partition("=")
            if not separator or not name:
                raise CliError(f"--extra-body wants NAME=JSON, not {pair!r}", exit_code=2)
            extra[name] = value
        try:
            return Sampling.model_validate(
                {
                    "temperature": self.temperature,
                    "top_p": self.top_p,
                    "max_tokens": self.max_tokens,
                    "reasoning_effort": self.reasoning_effort,
                    "seed": seed,
                    "extra_body": extra,
                }
            )
        except ValidationError as error:
            problems = [f"--{e.field.partition('.')[0].replace('_', '-')}: {e.message}" for e in field_errors(error)]
            raise CliError("; ".join(problems), exit_code=2) from error


Sampled = Annotated[SamplingOptions, Parameter(name="*")]
"""The options, each as an option of the command itself."""
DEFAULT = SamplingOptions()
