"""Where answers come from: the Provider protocol, found by entry points `synthbench.providers`."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from pydantic import SecretStr

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.artifacts import ArtifactStore

GROUP = "synthbench.providers"


@dataclass(frozen=True)
class Outgoing:
    """One try, as a provider gets it."""

    model: str
    """What the provider calls it; for local providers the whole name."""
    request: Mapping[str, Any]
    """In the provider's wire."""
    body: bytes
    """The same, encoded."""
    stream: bool
    claims: AttemptClaims
    timeout: float
    """Seconds for all of it."""
    idle: float
    """Seconds that a stream may be silent."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the caller, for the same wire: versions and betas."""


@dataclass
class Incoming:
    """What came back: a whole body, or pieces of a stream."""

    status: int
    body: bytes = b""
    pieces: AsyncIterator[bytes] | None = None
    """Raises TryFailed where the connection breaks."""

    async def aclose(self) -> None:
        """Give the connection back, or break it off where the stream is not over."""


class Provider(Protocol):
    """One place that answers."""

    name: str
    wire: str
    """The wire it speaks: `openai` or `anthropic`."""
    free: bool
    """No money is involved."""

    async def send(self, outgoing: Outgoing) -> Incoming:
        """Make one try. A provider may answer a request for a stream with a whole body.

        Raises:
            TryFailed: no answer came.
            Refusal: there is no such model here.
        """
        ...

    def models(self) -> list[str]:
        """Models that can be named; may be empty where only the upstream knows."""
        ...

    async def check(self) -> None:
        """Raise where it cannot answer now."""
        ...

    async def aclose(self) -> None:
        """Give everything back."""
        ...


@dataclass(frozen=True)
class ProviderConfig:
    """What a provider is made from."""

    name: str
    """First part of its models' names."""
    base_urls: tuple[str, ...]
    """Places that serve the same models; empty for the vendor's own."""
    key: SecretStr | None
    settings: GatewaySettings
    store: ArtifactStore


class ProviderFactory(Protocol):
    """What an entry point of the group names; its name is the `kind` in models.toml."""

    def make(self, config: ProviderConfig) -> Provider:
        """Make one.

        Raises:
            SettingsError: something is missing.
        """
        ...


@cache
def factories() -> dict[str, ProviderFactory]:
    """Every installed kind of provider."""
    return {entry.name: entry.load() for entry in entry_points(group=GROUP)}
