"""Reports over items."""

import json

SORT_KEYS = ("name", "quantity", "value")


def sort_items(items, key=None):
    """Return the items in order: by name from A to Z, by quantity and value the largest first, equals by name."""
    if key is None:
        return list(items)
    if key == "name":
        return sorted(items, key=lambda item: item.name)
    return sorted(items, key=lambda item: (getattr(item, key), item.name))


def text_report(items):
    """Return one line for each item and a total."""
    lines = [f"{item.name:<20} {item.quantity:>6} {item.value:>10.2f}" for item in items]
    lines.append(f"{'TOTAL':<20} {sum(item.quantity for item in items):>6} {sum(item.value for item in items):>10.2f}")
    return "\n".join(lines)


def json_report(items):
    """Return the same report as a JSON object."""
    rows = [{"name": item.name, "quantity": item.quantity, "value": item.value} for item in items]
    total = {
        "quantity": sum(item.quantity for item in items),
        "value": round(sum(item.value for item in items), 2),
    }
    return json.dumps({"items": rows, "total": total}, ensure_ascii=False)
