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
from synthbench.chassis.redaction import STARS, redacted

_SECRET_KEY = re.compile(
    r"(^|[_-])(password|passwd|secret|api[_-]?key|authorization|attempt_key|credentials?|token|dsn)$", re.IGNORECASE
)


def _clean(key: str, value: Any) -> Any:
    """Return what JSON can write of a value, with stars for secrets."""
    if isinstance(value, SecretStr) or (_SECRET_KEY.search(key) and value not in (None, "")):
        return STARS
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
