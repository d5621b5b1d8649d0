"""Evaluating expressions over a row, and aggregates over a group of rows."""

from query import values
from query.errors import QueryError
from query.nodes import Aggregate, Binary, Column, In, Literal, Unary


def evaluate(node, row, group=None):
    """Return the value of an expression; `group` are the rows that aggregates run over."""
    match node:
        case Literal(value):
            return value
        case Column(name, table):
            return row.get(name, table)
        case Aggregate(function, operand):
            return aggregate(function, operand, group)
        case Binary("AND", left, right):
            return values.both(truth(left, row, group), truth(right, row, group))
        case Binary("OR", left, right):
            return values.either(truth(left, row, group), truth(right, row, group))
        case Binary(operator, left, right):
            a, b = evaluate(left, row, group), evaluate(right, row, group)
            return values.arithmetic(operator, a, b) if operator in "+-*/" else values.compare(operator, a, b)
        case Unary("IS NULL", operand):
            return evaluate(operand, row, group) is None
        case Unary("IS NOT NULL", operand):
            return evaluate(operand, row, group) is not None
        case Unary("NOT", operand):
            return values.opposite(truth(operand, row, group))
        case Unary("-", operand):
            return values.arithmetic("-", 0, evaluate(operand, row, group))
        case In(operand, items):
            return contains(evaluate(operand, row, group), [evaluate(item, row, group) for item in items])
    raise QueryError(f"cannot evaluate {node!r}")


def truth(node, row, group=None):
    """Evaluate a condition: True, False or None."""
    value = evaluate(node, row, group)
    return value if value is None or isinstance(value, bool) else bool(value)


def contains(value, items):
    """value IN items."""
    return value in items


def aggregate(function, operand, group):
    """Run an aggregate; NULLs are left out, and over nothing all but COUNT are NULL."""
    if group is None:
        raise QueryError(f"{function} is not allowed here")
    if operand is None:
        return len(group)
    found = [evaluate(operand, row) or 0 for row in group]
    if function == "COUNT":
        return len(found)
    if function in ("MIN", "MAX"):
        return (min if function == "MIN" else max)(found, key=values.sort_key)
    if any(isinstance(value, str) for value in found):
        raise QueryError(f"{function} needs numbers")
    return sum(found) if function == "SUM" else sum(found) / len(found)


def has_aggregate(node):
    """Whether an aggregate is somewhere in an expression."""
    match node:
        case Aggregate():
            return True
        case Binary(_, left, right):
            return has_aggregate(left) or has_aggregate(right)
        case Unary(_, operand):
            return has_aggregate(operand)
        case In(operand, items):
            return has_aggregate(operand) or any(has_aggregate(item) for item in items)
    return False
