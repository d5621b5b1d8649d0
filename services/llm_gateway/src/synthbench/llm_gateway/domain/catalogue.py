"""The catalogue of models, and the routes that choose between them: the content of `models.toml`. Pure.

A key that is not known is refused as a typing error.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from synthbench.contracts.sampling import Sampling, written_by_hand
from synthbench.contracts.scaffolds import REPLAY_PREFIX, SIM_PREFIX
from synthbench.wire.failures import FallbackOn

Dollars = Annotated[Decimal, Field(ge=0)]


class Strategy(StrEnum):
    """The ways in which a route orders its models."""

    FIXED = "fixed"
    FALLBACK = "fallback"
    ROUND_ROBIN = "round_robin"
    WEIGHTED = "weighted"
    CHEAPEST = "cheapest"
    CAPABILITY = "capability"
    AB = "ab"


class CatalogueTable(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Price(CatalogueTable):
    """US dollars for a million tokens."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    """Input read from the provider's cache; the input's price where it is not named."""
    cache_write: Dollars | None = None
    """Input written to the provider's cache; the input's price where it is not named."""
    cache_write_1h: Dollars | None = None
    """Input written there for an hour; 1.6 times `cache_write` where it is not named, as Anthropic's prices are."""
    reasoning: Dollars | None = None
    """The output's price where it is not named."""


class RateLimitTable(CatalogueTable):
    """A table that may name rate limits, which hold for all replicas of the gateway together."""

    rpm: int | None = Field(default=None, ge=1)
    """Requests a minute."""
    tpm: int | None = Field(default=None, ge=1)
    """Tokens a minute, input and output together."""
    concurrency: int | None = Field(default=None, ge=1)
    """Calls at once."""

    @property
    def limited(self) -> bool:
        """Whether any limit is named."""
        return bool(self.rpm or self.tpm or self.concurrency)


class ProviderSpec(RateLimitTable):
    """One provider: a server that answers, or several that serve the same models."""

    kind: str
    """Entry point of group `synthbench.providers`: openai, anthropic, openrouter, google, …"""
    base_url: str | None = None
    base_urls: list[str] = []
    """Several places that serve the same models, in place of `base_url`: an attempt stays with one of them, so that the
    caches of its prompts work; where that is not there, it takes the next."""
    api_key_file: str = ""
    """A file that holds the key, in place of `api_key_env`; read whenever models.toml is."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key; `<name>_FILE` may name a file that does."""
    options: dict[str, Any] = {}
    """Settings that this kind of provider knows; those of plug-ins are documented with them."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.base_url and self.base_urls:
            raise ValueError("name base_url or base_urls, not both")
        if self.api_key_env and self.api_key_file:
            raise ValueError("name api_key_env or api_key_file, not both")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """Its base URLs; none for the vendor's own server."""
        return tuple(self.base_urls) or ((self.base_url,) if self.base_url else ())


class Model(RateLimitTable):
    """One model: its provider, its limits, and its prices."""

    provider: str = ""
    """The first part of the model's name, where it is not named."""
    name: str = ""
    """What the provider calls it; the rest of the model's name, where it is not named."""
    context: int | None = Field(default=None, ge=1)
    """Tokens of input and output together."""
    max_output: int | None = Field(default=None, ge=1)
    tools: bool = True
    vision: bool = True
    reasoning: bool = False
    prices: Price | None = None
    """genai-prices' where they are not named."""
    scores: dict[str, float] = {}
    """How good it is, by task category, by `category/difficulty`, and `default`; 0 to 1."""
    sampling: Annotated[Sampling, BeforeValidator(written_by_hand)] = Sampling()
    """For what neither a request nor its submission says."""
    timeout_seconds: float | None = Field(default=None, gt=0)
    """For one try; the call's whole deadline where it is not named."""


class Route(CatalogueTable):
    """A named choice of models."""

    strategy: Strategy
    models: list[str] = Field(min_length=1)
    weights: list[float] = []
    sticky: bool = True
    """One attempt stays with the model that answered it first."""
    fallback_on: list[FallbackOn] = list(FallbackOn)
    min_score: float = Field(default=0.0, ge=0, le=1)
    """`capability`: among models at least this good the cheapest is taken; else the best."""

    @model_validator(mode="after")
    def _weighed(self) -> Self:
        if self.strategy in (Strategy.WEIGHTED, Strategy.AB) and len(self.weights) not in (0, len(self.models)):
            raise ValueError(f"{len(self.models)} models need as many weights, not {len(self.weights)}")
        if any(weight < 0 for weight in self.weights) or (self.weights and not sum(self.weights)):
            raise ValueError("weights are positive numbers")
        return self


class ModelCatalogue(CatalogueTable):
    """The content of models.toml."""

    providers: dict[str, ProviderSpec] = {}
    models: dict[str, Model] = {}
    routes: dict[str, Route] = {}

    @model_validator(mode="after")
    def _names(self) -> Self:
        if both := set(self.models) & set(self.routes):
            raise ValueError(f"{', '.join(sorted(both))}: names a model and a route")
        nested = {name for route in self.routes.values() for name in route.models if name in self.routes}
        if nested:
            raise ValueError(f"{', '.join(sorted(nested))}: a route of routes; name models")
        for name, route in self.routes.items():
            sims = [model.startswith(SIM_PREFIX) for model in route.models]
            if any(sims) != name.startswith(SIM_PREFIX) or any(sims) != all(sims):
                raise ValueError(f"routes.{name}: simulated models make up routes of their own, named {SIM_PREFIX}…")
        return self

    def route(self, name: str) -> Route:
        """Return the route of this name; every other name is a model, and its own fixed route.

        `replay/<route>` is the route with every model replayed.
        """
        replayed = self.routes.get(name.removeprefix(REPLAY_PREFIX)) if name.startswith(REPLAY_PREFIX) else None
        if replayed is not None:
            return replayed.model_copy(update={"models": [REPLAY_PREFIX + model for model in replayed.models]})
        return self.routes.get(name) or _of_one(name)

    def model(self, name: str) -> Model:
        """Return the entry of a model, replayed or not; defaults for one that the file does not name."""
        return self.models.get(name.removeprefix(REPLAY_PREFIX), _UNKNOWN)


_UNKNOWN = Model()


@lru_cache(maxsize=1024)
def _of_one(model: str) -> Route:
    return Route(strategy=Strategy.FIXED, models=[model])


class CatalogueError(ValueError):
    """Raised for a file that does not fit; its message names the places in it, and what is wrong there."""


def read_catalogue(content: Mapping[str, Any]) -> ModelCatalogue:
    """Check a parsed file.

    Raises:
        CatalogueError: one line for each thing that does not fit.
    """
    try:
        return ModelCatalogue.model_validate(content)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False)
        ]
        raise CatalogueError("; ".join(lines)) from error
