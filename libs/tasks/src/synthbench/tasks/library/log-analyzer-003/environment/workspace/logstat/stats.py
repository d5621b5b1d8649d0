"""Numbers over records."""

import math
from collections import Counter


def percentile(values, percent):
    """Return the nearest-rank percentile: the smallest value with at least `percent` % of all at or below it."""
    if not values:
        raise ValueError("no values")
    if not 0 < percent <= 100:
        raise ValueError("percent must be above 0 and at most 100")
    ordered = sorted(values)
    return ordered[int(len(ordered) * percent / 100) - 1]


def by_path(records):
    """Return for each path its count, errors (level ERROR) and median and 95th percentile of milliseconds."""
    times = {}
    errors = Counter()
    for record in records:
        times.setdefault(record.path, []).append(record.milliseconds)
        errors[record.path] += record.level == "ERROR"
    return {
        path: {
            "count": len(values),
            "errors": errors[path],
            "p50": percentile(values, 50),
            "p95": percentile(values, 95),
        }
        for path, values in sorted(times.items())
    }


def by_hour(records):
    """Return the number of records for each hour in UTC, as `2026-03-01T09:00Z`, hours without records included."""
    counts = Counter(record.time.replace(minute=0, second=0, microsecond=0) for record in records)
    return {hour.strftime("%Y-%m-%dT%H:00Z"): count for hour, count in sorted(counts.items())}
