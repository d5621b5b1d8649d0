"""A call, and one try of it, while they are under way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.records import Usage
from synthbench.llm_gateway.calls.handler.http_exchange import HttpExchange
from synthbench.llm_gateway.domain.prepared_request import PreparedRequest
from synthbench.llm_gateway.recordings.recorder import RecordingSession
from synthbench.wire.protocols import WireFormat
from synthbench.wire.providers import Provider
from synthbench.wire.request import ModelRequest


@dataclass
class Call:
    """What the caller sees as one call."""

    request_id: UUID
    claims: AttemptClaims
    asked: ModelRequest
    wire: WireFormat
    caller: HttpExchange
    route: str
    deadline: float
    """Of the monotonic clock."""
    passed_on: dict[str, str]
    """Headers that a provider of the caller's own wire gets as the caller wrote them."""
    began: float = field(default_factory=monotonic)
    waited: float = 0.0
    """Seconds before the newest try: pauses, limits, tries that failed. Not the model's doing."""
    last: bool = True
    """Whether no other model follows the newest try where money is short."""
    patience: float = 0.0
    """Seconds that the newest try may wait for the limits of its model and provider."""
    tokens: int = 0
    """That it may use at most, roughly."""
    tries: int = 0
    used: int | None = None
    """Tokens of the newest try; None where nobody knows."""


@dataclass
class Try:
    """One try, as it is written down."""

    call: Call
    number: int
    call_id: UUID
    provider: Provider
    wire: WireFormat
    name: str
    model: str
    why: str
    prepared: PreparedRequest
    tape: RecordingSession
    began: float = field(default_factory=monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    answered_by: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The provider's whole answer, every tool call with an id of its own."""
    counted: Usage | None = None
    """What the provider says it used."""
    characters: int = 0
    first_token: float | None = None
    dropped: list[str] = field(default_factory=list[str])
