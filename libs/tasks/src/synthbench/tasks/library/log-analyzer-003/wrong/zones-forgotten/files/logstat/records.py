"""Reading records: one a line, with indented lines that continue the record before."""

from dataclasses import dataclass, field
from datetime import datetime, timezone


@dataclass
class Record:
    """One request."""

    time: datetime
    """In UTC."""
    level: str
    path: str
    milliseconds: int
    details: list = field(default_factory=list)


class BadLine(ValueError):
    """A line that is neither a record nor a continuation; `number` counts from 1."""

    def __init__(self, number, line):
        super().__init__(f"line {number}: {line[:40]!r}")
        self.number = number


def parse_time(text):
    """Read an ISO time; without a zone it is UTC. The result is in UTC."""
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if time.tzinfo is None:
        return time.replace(tzinfo=timezone.utc)
    return time.replace(tzinfo=timezone.utc)


def read_records(lines):
    """Yield records of lines like `2026-03-01T10:00:00+01:00 INFO /cart 120`."""
    current = None
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line.strip():
            continue
        if line[0] in " \t":
            if current is None:
                raise BadLine(number, line)
            current.details.append(line.strip())
            continue
        parts = line.split()
        if len(parts) != 4 or not parts[3].isdigit():
            raise BadLine(number, line)
        if current is not None:
            yield current
        try:
            time = parse_time(parts[0])
        except ValueError:
            raise BadLine(number, line) from None
        current = Record(time, parts[1].upper(), parts[2].partition("?")[0], int(parts[3]))
    if current is not None:
        yield current
