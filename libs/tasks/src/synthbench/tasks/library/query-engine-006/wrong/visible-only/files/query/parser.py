"""From tokens to a query. OR binds weakest, then AND, NOT, comparisons, + and -, * and /."""

from query.errors import QueryError
from query.nodes import Aggregate, Binary, Column, In, Join, Literal, Output, Select, Unary
from query.tokens import tokenize

COMPARISONS = ("=", "<>", "!=", "<", ">", "<=", ">=")
AGGREGATES = ("COUNT", "SUM", "AVG", "MIN", "MAX")


def parse(text):
    """Parse one SELECT."""
    return Parser(tokenize(text)).select()


class Parser:
    """Recursive descent over tokens."""

    def __init__(self, tokens):
        self._tokens = tokens
        self._position = 0

    @property
    def _token(self):
        return self._tokens[self._position]

    def _accept(self, *texts):
        """Take the next token if it is one of these keywords or symbols; return its text, or None."""
        if self._token.kind in ("keyword", "symbol") and self._token.text in texts:
            self._position += 1
            return self._tokens[self._position - 1].text
        return None

    def _expect(self, text):
        if not self._accept(text):
            raise QueryError(f"expected {text}, found {self._token.text or 'the end'}")

    def _name(self):
        if self._token.kind != "name":
            raise QueryError(f"expected a name, found {self._token.text or 'the end'}")
        self._position += 1
        return self._tokens[self._position - 1].text

    def select(self):
        """SELECT … to the end."""
        self._expect("SELECT")
        outputs = self._list(self._output)
        self._expect("FROM")
        table = self._name()
        query = Select(outputs, table, self._alias(table))
        while self._token.text in ("JOIN", "LEFT"):
            left = bool(self._accept("LEFT"))
            self._expect("JOIN")
            joined = self._name()
            alias = self._alias(joined)
            self._expect("ON")
            query.joins.append(Join(joined, alias, self._or(), left))
        if self._accept("WHERE"):
            query.where = self._or()
        if self._accept("GROUP"):
            self._expect("BY")
            query.group = self._list(self._or)
        if self._accept("HAVING"):
            query.having = self._or()
        if self._accept("ORDER"):
            self._expect("BY")
            query.order = self._list(self._order)
        if self._accept("LIMIT"):
            query.limit = self._limit()
        if self._token.kind != "end":
            raise QueryError(f"unexpected {self._token.text}")
        return query

    def _alias(self, table):
        if self._accept("AS") or self._token.kind == "name":
            return self._name()
        return table

    def _list(self, one):
        items = [one()]
        while self._accept(","):
            items.append(one())
        return items

    def _output(self):
        if self._accept("*"):
            return Output(None, "*")
        start = self._position
        expression = self._or()
        text = "".join(token.text for token in self._tokens[start : self._position])
        if self._accept("AS"):
            return Output(expression, self._name())
        return Output(expression, expression.name if isinstance(expression, Column) else text)

    def _order(self):
        expression = self._or()
        return expression, self._accept("ASC", "DESC") == "DESC"

    def _limit(self):
        if self._token.kind != "number" or "." in self._token.text:
            raise QueryError("LIMIT takes a whole number")
        self._position += 1
        return int(self._tokens[self._position - 1].text)

    def _or(self):
        left = self._and()
        while self._accept("OR"):
            left = Binary("OR", left, self._and())
        return left

    def _and(self):
        left = self._not()
        while self._accept("AND"):
            left = Binary("AND", left, self._not())
        return left

    def _not(self):
        if self._accept("NOT"):
            return Unary("NOT", self._not())
        return self._comparison()

    def _comparison(self):
        left = self._sum()
        if operator := self._accept(*COMPARISONS):
            return Binary("<>" if operator == "!=" else operator, left, self._sum())
        if self._accept("IS"):
            negated = self._accept("NOT")
            self._expect("NULL")
            return Unary("IS NOT NULL" if negated else "IS NULL", left)
        negated = bool(self._accept("NOT"))
        if self._accept("IN"):
            self._expect("(")
            items = tuple(self._list(self._sum))
            self._expect(")")
            found = In(left, items)
            return Unary("NOT", found) if negated else found
        if negated:
            raise QueryError("expected IN after NOT")
        return left

    def _sum(self):
        left = self._product()
        if operator := self._accept("+", "-"):
            return Binary(operator, left, self._sum())
        return left

    def _product(self):
        left = self._atom()
        while operator := self._accept("*", "/"):
            left = Binary(operator, left, self._atom())
        return left

    def _atom(self):
        if self._accept("("):
            inner = self._or()
            self._expect(")")
            return inner
        if self._accept("-"):
            return Unary("-", self._atom())
        if self._accept("NULL"):
            return Literal(None)
        if function := self._accept(*AGGREGATES):
            return self._aggregate(function)
        token = self._token
        if token.kind in ("number", "string"):
            self._position += 1
            return Literal(_number(token.text) if token.kind == "number" else token.text)
        name = self._name()
        return Column(self._name(), name) if self._accept(".") else Column(name)

    def _aggregate(self, function):
        self._expect("(")
        operand = None if function == "COUNT" and self._accept("*") else self._or()
        self._expect(")")
        return Aggregate(function, operand)


def _number(text):
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise QueryError(f"{text} is no number") from None
