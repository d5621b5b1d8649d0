"""The protocol of a provider: a place that answers model requests, in the wire format that it speaks.

A package offers one by an entry point of the group `synthbench.providers`; the entry's name is the `kind` of a
provider in models.toml.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import SecretStr

from synthbench.contracts.attempt_key import AttemptClaims


@dataclass(frozen=True)
class ProviderRequest:
    """One try of a model call, as a provider gets it."""

    model: str
    """Name that the provider has for the model; for local providers the whole name, such as `sim/expert`."""
    request: Mapping[str, Any]
    """The request in the provider's wire format."""
    body: bytes
    """The same request, encoded as JSON."""
    stream: bool
    """Whether the answer is wanted as a stream of events."""
    claims: AttemptClaims
    """The attempt that asks."""
    timeout: float
    """Seconds that the whole try may take."""
    idle: float
    """Seconds that a stream may be silent."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers of a caller that speaks the same wire format, such as versions and betas."""


@dataclass
class ProviderResponse:
    """A provider's answer: a whole body, or the pieces of a stream."""

    status: int
    """HTTP status."""
    body: bytes = b""
    """The whole body, in the provider's wire format; empty for a stream."""
    pieces: AsyncIterator[bytes] | None = None
    """The stream's bytes as they come; iterating raises `TryFailed` where the connection breaks."""

    async def aclose(self) -> None:
        """Give the connection back, or break it off where the stream is not over."""


class Provider(Protocol):
    """A place that answers model requests."""

    name: str
    wire: str
    """Name of the wire format that it speaks, such as `openai`."""
    free: bool
    """Whether no money is involved: its calls cost nothing and are not recorded."""

    async def send(self, request: ProviderRequest) -> ProviderResponse:
        """Make one try. A provider may answer a request for a stream with a whole body.

        Raises:
            TryFailed: no answer came.
            Refusal: there is no such model here.
        """
        ...

    def models(self) -> list[str]:
        """Return the models that can be named; none where only the upstream knows them."""
        ...

    async def check(self) -> None:
        """Return if the provider can answer now.

        Raises:
            Exception: it cannot; whatever is raised is logged as the reason.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class ArtifactReader(Protocol):
    """Reads the deployment's artifacts, such as task packages."""

    async def get(self, uri: str) -> bytes:
        """Read an artifact.

        Raises:
            Exception: there is none, or it cannot be read now.
        """
        ...


@dataclass(frozen=True)
class ProviderConfig:
    """Everything that a provider is made from."""

    name: str
    """First part of its models' names."""
    base_urls: tuple[str, ...]
    """Base URLs of servers that serve the same models; none for the vendor's own."""
    key: SecretStr | None
    """The provider's API key, where the deployment has one."""
    artifacts: ArtifactReader
    max_answer_bytes: int
    """Size beyond which an answer is refused."""
    connections: int
    """Number of connections that it may open at once."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The table `options` of the provider in models.toml: whatever this kind of provider knows."""


class ProviderFactory(Protocol):
    """The object that an entry point of the group names: a provider's class, for example."""

    def make(self, config: ProviderConfig) -> Provider:
        """Make a provider.

        Raises:
            SettingsError: something is missing.
        """
        ...
