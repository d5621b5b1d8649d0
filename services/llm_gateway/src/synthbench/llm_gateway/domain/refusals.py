"""Refusals of the gateway itself, and what each means for the next try. Pure."""

from synthbench.wire.failures import Failure, FallbackOn
from synthbench.wire.refusal import Refusal

_TOO_MANY = 429


def circuit_open(model: str, cause: str, pause: float) -> Refusal:
    """Refuse a call while the model's circuit breaker is open; the cause is what the caller has to know."""
    return Refusal(503, "circuit_open", f"{cause} ({model} is left alone for {pause:.0f} s)", retry_after=pause)


def unknown_price(model: str) -> Refusal:
    """Refuse a call whose cost could not be capped, since the price of its model is unknown."""
    reason = (
        "is unknown, so its cost could not be capped: pass --allow-unknown-price (allow_unknown_price of a submission)"
    )
    return Refusal(403, "unknown_price", f"the price of {model!r} {reason}, or name it in models.toml")


def caller_gone() -> Failure:
    """Give a stream up for whose rest nobody waits; the provider bills what it did."""
    refusal = Refusal(499, "caller_gone", "the caller closed the connection")
    return Failure(refusal, again=False, fallback=None, unknown=True)


def failure_of_refusal(refusal: Refusal) -> Failure:
    """Say what a refusal by a local provider, the ledger or a rate limit means for the next try."""
    fallback = None
    if refusal.code in ("unknown_price", "model_not_found", "circuit_open", "not_recorded"):
        fallback = FallbackOn.ERROR
    if refusal.status == _TOO_MANY:
        fallback = FallbackOn.RATE_LIMIT
    if refusal.code in ("cost_limit", "budget_exhausted", "budget_tied_up"):
        fallback = FallbackOn.BUDGET
    return Failure(refusal, again=False, fallback=fallback)
