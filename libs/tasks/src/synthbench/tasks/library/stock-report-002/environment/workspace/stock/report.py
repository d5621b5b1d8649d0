"""Reports over items."""

def text_report(items):
    """Return one line for each item and a total."""
    lines = [f"{item.name:<20} {item.quantity:>6} {item.value:>10.2f}" for item in items]
    lines.append(f"{'TOTAL':<20} {sum(item.quantity for item in items):>6} {sum(item.value for item in items):>10.2f}")
    return "\n".join(lines)

