"""Values and what operators make of them. NULL is None; a comparison with it is neither true nor false, but None."""

from query.errors import QueryError


def from_text(text):
    """Read a CSV field: empty is NULL, what looks like a number is one."""
    text = text.strip()
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def compare(operator, left, right):
    """Compare two values; a number and a string are compared as text."""
    if left is None or right is None:
        return None
    if isinstance(left, str) != isinstance(right, str):
        left, right = str(left), str(right)
    return {
        "=": left == right,
        "<>": left != right,
        "<": left < right,
        ">": left > right,
        "<=": left <= right,
        ">=": left >= right,
    }[operator]


def arithmetic(operator, left, right):
    """Compute with two numbers; NULL with anything is NULL, and so is a division by zero."""
    if left is None or right is None:
        return None
    if isinstance(left, str) or isinstance(right, str):
        raise QueryError(f"{operator} needs numbers, not {left!r} and {right!r}")
    if operator == "/":
        return None if right == 0 else left / right
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def both(left, right):
    """AND in three values."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def either(left, right):
    """OR in three values."""
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def opposite(value):
    """NOT in three values."""
    return None if value is None else not value


def sort_key(value):
    """Orders any values: NULL first, then numbers, then text."""
    if value is None:
        return (0, 0)
    return (2, value) if isinstance(value, str) else (1, value)
