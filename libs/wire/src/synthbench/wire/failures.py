"""Failures of providers: how a try that gave no answer is read, for the caller, the next try and the bill. Pure.

Sources: OpenAI's API reference, "Error codes"; Anthropic's API reference, "Errors"; RFC 9110, section 10.2.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import orjson

from synthbench.contracts.loose import as_object, parse_object
from synthbench.wire.refusal import Refusal

_TOO_MANY, _TIMEOUT = 429, 408
_SHOWN_BYTES = 80
UNREACHABLE = "upstream_unreachable"
_CONTEXT_WORDS = ("maximum context length", "prompt is too long", "context window", "context_length")
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached")
_STATUS_OF = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "rate_limit_exceeded": 429,
    "insufficient_quota": 429, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip
"""Where an error comes inside of an answer, its type stands for the status that it would have had."""


class FallbackOn(StrEnum):
    """Kinds of failures after which another model may do better."""

    ERROR = "error"
    RATE_LIMIT = "rate_limit"
    CONTEXT = "context"
    BUDGET = "budget"


@dataclass(frozen=True)
class Failure:
    """One try that gave no answer."""

    refusal: Refusal
    again: bool
    """Whether the same model may be asked again."""
    fallback: FallbackOn | None
    """The kind of failure, for a route that falls back on it; None where the request itself is at fault."""
    unknown: bool = False
    """The provider may have done the work, and may bill it."""
    breaks: bool = False
    """It counts against the model's circuit breaker."""
    retry_after: float | None = None
    """Seconds that the provider asks to wait for; None where it asks for nothing."""


class TryFailed(Exception):
    """Raised by a provider that gave no answer; carries the failure up to where the next try is decided."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.refusal))
        self.failure = failure


def failure_of_status(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Failure:
    """Read a provider's response that is no success. That its key is wrong is the deployment's fault, not the caller's.

    Args:
        status: of the HTTP response.
        headers: of the HTTP response, their names in lower case.
        body: of the HTTP response.
        now: the present time, from which a date to come again at is counted.
    """
    parsed = parse_object(body)
    error = as_object(parsed.get("error"))
    code = str(error.get("code") or error.get("type") or "")
    text = str(error.get("message") or body[:300].decode("utf-8", errors="replace")).replace("\n", " ")
    wait = retry_after(headers, now)
    if status in (401, 402, 403, 404):
        return _misconfigured(status, text)
    if status == _TOO_MANY:
        refusal = Refusal(429, "upstream_rate_limit", f"the provider limits the rate: {text}", retry_after=wait or 1.0)
        return Failure(refusal, again=code not in _QUOTA, fallback=FallbackOn.RATE_LIMIT, retry_after=wait)
    if status >= 500 or status == _TIMEOUT:
        refusal = Refusal(502, "upstream_status", f"the provider answers {status}: {text}", retry_after=wait)
        return Failure(refusal, again=True, fallback=FallbackOn.ERROR, breaks=True, retry_after=wait)
    if status == 413 or code == "context_length_exceeded" or any(word in text.lower() for word in _CONTEXT_WORDS):
        refusal = Refusal(400, "context_length_exceeded", f"the provider refuses the request: {text}")
        return Failure(refusal, again=False, fallback=FallbackOn.CONTEXT)
    if status < 400:
        refusal = Refusal(502, "upstream_garbage", f"the provider answers {status}, which is no answer")
        return Failure(refusal, again=False, fallback=FallbackOn.ERROR, breaks=True)
    refusal = Refusal(status, code or "upstream_refused", f"the provider refuses the request: {text}")
    return Failure(refusal, again=False, fallback=None)


def _misconfigured(status: int, text: str) -> Failure:
    """The deployment is at fault: its key, its account, or the model's name. Another model may be set up better."""
    refusal = Refusal(403, "upstream_credentials", f"the provider refuses this deployment's key ({status}): {text}")
    if status == 404:
        refusal = Refusal(404, "model_not_found", f"the provider knows no such model: {text}")
    return Failure(refusal, again=False, fallback=FallbackOn.ERROR)


def failure_within(answer: Mapping[str, Any], now: datetime) -> Failure:
    """Read an error that comes with status 200: in a stream that began, or in place of an answer.

    Args:
        answer: the object with the `error`; its `code` may be a status (OpenRouter), its `type` may name one
            (Anthropic).
        now: the present time, from which a date to come again at is counted.
    """
    error = as_object(answer.get("error"))
    code = error.get("code")
    status = code if isinstance(code, int) else _STATUS_OF.get(str(error.get("type") or code), 500)
    found = failure_of_status(status if 400 <= status < 600 else 500, {}, orjson.dumps(answer), now)
    return replace(found, unknown=True)


def unreachable(reason: str) -> Failure:
    """No connection was made: nothing was sent, and nothing is billed."""
    refusal = Refusal(502, UNREACHABLE, f"the provider cannot be reached: {reason}", retry_after=1.0)
    return Failure(refusal, again=True, fallback=FallbackOn.ERROR, breaks=True)


def reset(reason: str) -> Failure:
    """The connection broke after the request was sent."""
    refusal = Refusal(502, "upstream_reset", f"the provider broke the connection: {reason}", retry_after=1.0)
    return Failure(refusal, again=True, fallback=FallbackOn.ERROR, unknown=True, breaks=True)


def timed_out(what: str) -> Failure:
    """The provider is too slow, or hangs."""
    refusal = Refusal(504, "upstream_timeout", f"the provider did not answer in time: {what}")
    return Failure(refusal, again=True, fallback=FallbackOn.ERROR, unknown=True, breaks=True)


def unusable(what: str) -> Failure:
    """The provider answered with something that is no answer; `what` says what it is."""
    refusal = Refusal(502, "upstream_garbage", what)
    return Failure(refusal, again=True, fallback=FallbackOn.ERROR, unknown=True, breaks=True)


def garbage(wire: str, body: bytes) -> Failure:
    """The body of an answer is none on its provider's wire."""
    start = body[:_SHOWN_BYTES].decode("utf-8", errors="replace")
    page = body.lstrip()[:15].lower().startswith((b"<!doctype", b"<html"))
    hint = ": a web page; is the base URL right, with its /v1?" if page else ""
    return unusable(f"the provider's answer is none on the {wire} wire{hint}: {start!r}")


def broken_stream(what: str) -> Failure:
    """A stream ended without its end mark: what came of it was not all."""
    refusal = Refusal(502, "broken_stream", f"the provider's stream broke off: {what}")
    return Failure(refusal, again=True, fallback=FallbackOn.ERROR, unknown=True, breaks=True)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the provider asks for: `retry-after-ms`, or `retry-after` as seconds or as a date (RFC 9110)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        return max(0.0, (parsedate_to_datetime(headers.get("retry-after", "")) - now).total_seconds())
    except (ValueError, TypeError):
        return None
