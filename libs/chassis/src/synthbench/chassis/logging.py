"""Logs: one JSON object a line on stderr, with trace ids and the attempt's scope, and without secrets."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from opentelemetry import trace
from pydantic import SecretStr

from synthbench.chassis.log_rate import RateLimit

_SECRET_KEY = re.compile(
    r"(^|[_-])(password|passwd|secret|api[_-]?key|authorization|attempt_key|credentials?|token|dsn)$", re.IGNORECASE
)
_URL_CREDENTIALS = re.compile(r"(\w://[^\s:/@]*:)[^\s@/]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_STARS = "**********"
_secrets: set[str] = set()


def redact(*values: SecretStr | str | None) -> None:
    """Register values that must never appear in a log, whatever the key."""
    for value in values:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and len(text) >= 6:  # shorter ones would blot out ordinary words
            _secrets.add(text)


def without_secrets(data: bytes) -> bytes:
    """Return bytes that are kept for long, without registered secrets; all else stays as it is."""
    for secret in _secrets:
        data = data.replace(secret.encode(), _STARS.encode())
    return data


def redacted(text: str) -> str:
    """Return the text without registered secrets, URL passwords and authorization headers."""
    for secret in _secrets:
        text = text.replace(secret, _STARS)
    return _BEARER.sub(rf"\1 {_STARS}", _URL_CREDENTIALS.sub(rf"\1{_STARS}@", text))


def _clean(key: str, value: Any) -> Any:
    """Return what JSON can write of a value, with stars for secrets."""
    if isinstance(value, SecretStr) or (_SECRET_KEY.search(key) and value not in (None, "")):
        return _STARS
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(k): _clean(str(k), v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    return redacted(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _clean(key, value) for key, value in event.items()}


def _add_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


def setup_logging(service: str, level: str) -> structlog.stdlib.BoundLogger:
    """Configure logging for this process, libraries included, and return the service's logger."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _add_trace,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _redact_event,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(RateLimit())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("synthbench").setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    return structlog.stdlib.get_logger(f"synthbench.{service}")
