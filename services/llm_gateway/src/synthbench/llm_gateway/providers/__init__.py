"""Where answers come from: the Provider protocol, found by entry points `synthbench.providers`."""

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.artifacts import ArtifactStore

GROUP = "synthbench.providers"
UPSTREAM = "openai"
"""The provider of every route that names no other."""


@dataclass(frozen=True)
class ProviderAnswer:
    """A completion in OpenAI's format, as it came."""

    body: bytes
    model: str
    """What really answered."""


class Provider(Protocol):
    """One way to get a completion."""

    name: str
    free: bool
    """No money is involved."""

    async def complete(self, request: dict[str, Any], claims: AttemptClaims) -> ProviderAnswer:
        """Answer a chat completion request in OpenAI's format; its `model` is the route.

        Raises:
            Refusal: no answer could be had.
        """
        ...

    def models(self) -> list[str]:
        """Routes that can be named; may be empty where only the upstream knows."""
        ...

    async def aclose(self) -> None:
        """Give everything back."""
        ...


def load_providers(settings: GatewaySettings, store: ArtifactStore) -> dict[str, Provider]:
    """Make every installed provider that the settings ask for, by the first part of the routes it serves.

    An entry point names a class with `make(settings, store)`, which returns None where it is not configured.
    """
    made: dict[str, Provider] = {}
    for entry in entry_points(group=GROUP):
        provider: Provider | None = entry.load().make(settings, store)
        if provider is not None:
            made[entry.name] = provider
    return made
