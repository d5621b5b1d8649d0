"""Log lines of all processes as one kind of thing: services write JSON, NATS and Postgres their own text. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from synthbench.contracts.loose import parse_object

LEVELS = ("debug", "info", "warning", "error")
_NATS = re.compile(r"^\[\d+\] (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+) \[(\w{3})\] (.*)$", re.DOTALL)
_NATS_LEVELS = {"DBG": "debug", "TRC": "debug", "INF": "info", "WRN": "warning", "ERR": "error", "FTL": "error"}
_POSTGRES = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) \w+ \[\d+\] (\w+): +(.*)$", re.DOTALL)
_POSTGRES_LEVELS = {"WARNING": "warning", "ERROR": "error", "FATAL": "error", "PANIC": "error"}
_OWN = ("timestamp", "level", "event", "service", "logger", "trace_id", "span_id")
"""Fields that have a place of their own in a line, or are for machines."""


@dataclass(frozen=True)
class LogLine:
    """One line of one process."""

    process: str
    moment: datetime | None
    """UTC; None for text without a time."""
    level: str
    """One of `LEVELS`."""
    event: str
    fields: Mapping[str, Any]

    def text(self) -> str:
        """Return the line for people: time, level, process, event, and its fields."""
        when = self.moment.strftime("%H:%M:%S.%f")[:-3] if self.moment else " " * 12
        details = " ".join(f"{name}={_value(value)}" for name, value in self.fields.items())
        return f"{when} {self.level:<7} {self.process:<11} {self.event}{f'  {details}' if details else ''}"

    def to_json(self) -> str:
        """Return the line as a JSON object."""
        when = self.moment.isoformat() if self.moment else None
        known = {"timestamp": when, "level": self.level, "process": self.process, "event": self.event}
        return json.dumps({**self.fields, **known}, ensure_ascii=False, default=str)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = text.replace("\n", " ⏎ ")
    return f'"{text}"' if " " in text else text


def read_line(process: str, text: str) -> LogLine:
    """Read a line, whatever it is."""
    if fields := parse_object(text):
        level = str(fields.get("level", "info")).lower().replace("critical", "error")
        shown = {name: value for name, value in fields.items() if name not in _OWN}
        moment = _moment(str(fields.get("timestamp", "")))
        return LogLine(process, moment, level if level in LEVELS else "info", str(fields.get("event", "")), shown)
    if found := _NATS.match(text):
        moment = _moment(found[1].replace("/", "-"))
        return LogLine(process, moment, _NATS_LEVELS.get(found[2], "info"), found[3], {})
    if found := _POSTGRES.match(text):
        return LogLine(process, _moment(found[1]), _POSTGRES_LEVELS.get(found[2], "info"), found[3], {})
    return LogLine(process, None, "error" if text.startswith(("Traceback", "Error")) else "info", text, {})


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def at_least(level: str, line: LogLine) -> bool:
    """Whether a line is as grave as this, or graver."""
    return LEVELS.index(line.level) >= LEVELS.index(level)


def merged(lines: list[LogLine]) -> list[LogLine]:
    """Sort lines of several processes by time; text without a time stays behind the line before it."""
    timed: list[tuple[datetime, int, LogLine]] = []
    last: dict[str, datetime] = {}
    for number, line in enumerate(lines):
        moment = line.moment or last.get(line.process) or datetime.min.replace(tzinfo=UTC)
        last[line.process] = moment
        timed.append((moment, number, line))
    return [line for _, _, line in sorted(timed, key=lambda one: one[:2])]
