"""The parts of a parsed query."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Literal:
    """A number, a string or NULL."""

    value: object


@dataclass(frozen=True)
class Column:
    """`name` or `table.name`."""

    name: str
    table: str = ""


@dataclass(frozen=True)
class Binary:
    """left operator right; operators in upper case."""

    operator: str
    left: object
    right: object


@dataclass(frozen=True)
class Unary:
    """NOT, - , IS NULL or IS NOT NULL."""

    operator: str
    operand: object


@dataclass(frozen=True)
class In:
    """operand IN (items)."""

    operand: object
    items: tuple


@dataclass(frozen=True)
class Aggregate:
    """COUNT, SUM, AVG, MIN or MAX; `operand` None is COUNT(*)."""

    function: str
    operand: object


@dataclass(frozen=True)
class Output:
    """One column of the result; an expression of None is `*`."""

    expression: object
    name: str


@dataclass(frozen=True)
class Join:
    """A joined table."""

    table: str
    alias: str
    condition: object
    left: bool


@dataclass
class Select:
    """A whole query."""

    outputs: list
    table: str
    alias: str
    joins: list = field(default_factory=list)
    where: object = None
    group: list = field(default_factory=list)
    having: object = None
    order: list = field(default_factory=list)
    """(expression, descending) pairs."""
    limit: object = None
