"""The values of a call: the call itself, the plan of each try, a try that is sent, its answer, and its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.ids import uuid7
from synthbench.contracts.records import Usage
from synthbench.llm_gateway.calls.http_exchange import HttpExchange
from synthbench.llm_gateway.domain.prepared_request import PreparedRequest
from synthbench.llm_gateway.recordings.recorder import RecordingSession
from synthbench.wire.failures import Failure
from synthbench.wire.protocols import WireFormat
from synthbench.wire.providers import Provider
from synthbench.wire.request import ModelRequest


@dataclass(frozen=True)
class CallContext:
    """One call, as its caller sees it."""

    claims: AttemptClaims
    """The caller's key."""
    request: ModelRequest
    wire: WireFormat
    """The format of the request, and of the answer that the caller gets."""
    exchange: HttpExchange
    route: str
    deadline: float
    """Seconds of the monotonic clock."""
    headers: Mapping[str, str]
    """Headers that a provider of the same wire format gets as the caller wrote them."""
    request_id: UUID = field(default_factory=uuid7)
    began: float = field(default_factory=monotonic)
    """Seconds of the monotonic clock."""


@dataclass(frozen=True)
class TryPlan:
    """The next try of a call, before anything is asked for it."""

    call: CallContext
    model: str
    reason: str
    """Why this model is tried."""
    number: int
    """Tries of the call that were made, this one included."""
    estimate: int | None
    """The most that it may cost, in millionths of a US dollar; None where the model's price is unknown."""
    tokens: int
    """The most that it may use, roughly, input and output together."""
    patience: float
    """Seconds that it may wait for the rate limits of its model and provider."""
    last: bool
    """Whether no other model follows where money is short."""
    waited: float
    """Seconds of our own waits before the try before."""


@dataclass(frozen=True)
class SentTry:
    """One try whose request goes out: everything that is known before the answer."""

    plan: TryPlan
    provider: Provider
    """The model's provider, or a recording in its place."""
    wire: WireFormat
    """The provider's format."""
    name: str
    """The provider's name for the model."""
    prepared: PreparedRequest
    session: RecordingSession
    waited: float
    """Seconds of our own waits before it: pauses, rate limits, tries that failed. Not the model's doing."""
    call_id: UUID = field(default_factory=uuid7)
    began: float = field(default_factory=monotonic)
    """Seconds of the monotonic clock."""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class ReceivedAnswer:
    """A provider's answer, as far as it has come."""

    model: str = ""
    """The model that answers, as it says itself; the provider's name for the model where it does not say."""
    answer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The whole answer in the provider's format, every tool call with an id of its own; empty until it is whole."""
    usage: Usage | None = None
    """Tokens as the provider counted them; None where it did not."""
    characters: int = 0
    """Length of the answer, for an estimate of its tokens."""
    first_token: float | None = None
    """Seconds until the first piece of a stream."""
    dropped: tuple[str, ...] = ()
    """Names of the fields that did not carry over between the two formats."""


@dataclass(frozen=True)
class TryOutcome:
    """The outcome of a try, from which the next one is decided."""

    failure: Failure | None
    """None where the caller has its answer."""
    waited: float
    """Seconds of our own waits before it."""
    made: bool
    """Whether it counts as a try; it does not where its model cannot be asked at all."""
