"""From text to tokens."""

from dataclasses import dataclass

from query.errors import QueryError

KEYWORDS = frozenset(
    "SELECT FROM WHERE GROUP BY HAVING ORDER ASC DESC LIMIT AND OR NOT IS NULL AS JOIN LEFT ON IN COUNT SUM AVG MIN MAX".split()
)
SYMBOLS = ("<=", ">=", "<>", "!=", "=", "<", ">", "(", ")", ",", "*", "+", "-", "/", ".")


@dataclass(frozen=True)
class Token:
    """`kind` is keyword, name, number, string, symbol or end."""

    kind: str
    text: str


def tokenize(text):
    """Return the tokens, an `end` at last. Strings are in single quotes, a quote in one is doubled."""
    tokens, position = [], 0
    while position < len(text):
        char = text[position]
        if char.isspace():
            position += 1
        elif char == "'":
            value, position = _string(text, position)
            tokens.append(Token("string", value))
        elif char.isdigit():
            end = position
            while end < len(text) and (text[end].isdigit() or text[end] == "."):
                end += 1
            tokens.append(Token("number", text[position:end]))
            position = end
        elif char.isalpha() or char == "_":
            end = position
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            word = text[position:end]
            tokens.append(Token("keyword", word.upper()) if word.upper() in KEYWORDS else Token("name", word))
            position = end
        else:
            symbol = next((symbol for symbol in SYMBOLS if text.startswith(symbol, position)), None)
            if symbol is None:
                raise QueryError(f"unexpected {char!r} at {position}")
            tokens.append(Token("symbol", symbol))
            position += len(symbol)
    return [*tokens, Token("end", "")]


def _string(text, position):
    value, position = "", position + 1
    while position < len(text):
        if text[position] != "'":
            value += text[position]
            position += 1
        elif text.startswith("''", position):
            value += "'"
            position += 2
        else:
            return value, position + 1
    raise QueryError("a string does not end")
