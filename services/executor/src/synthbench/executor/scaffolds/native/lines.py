r"""The lines of a text file, as every tool that reads or changes one counts them. Pure.

A line ends with "\n" or "\r\n", as sed and git count them; a lone "\r", a form feed or U+2028 is part of its line.
The agent is shown the text with "\n" alone and without its byte order mark, so that what it copies fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat

_BOM = "\ufeff"


def plain(text: str) -> str:
    r"""The text with "\n" as its only line end."""
    return text.replace("\r\n", "\n")


def lines_of(text: str) -> list[str]:
    r"""The lines of a text without their ends; what follows the last end is a line if there is something."""
    lines = [line.removesuffix("\r") for line in text.split("\n")[:-1]]
    rest = text.rpartition("\n")[2]
    return [*lines, rest] if rest else lines


@dataclass(frozen=True)
class TextFile:
    r"""A text file; `encoded` gives the bytes it was made of.

    Attributes:
        text: without byte order mark, each line end "\n".
        crlf: of each line end, whether it is "\r\n" in the file.
        bom: whether the file begins with a byte order mark.
    """

    text: str
    crlf: tuple[bool, ...]
    bom: bool = False

    @classmethod
    def decoded(cls, data: bytes) -> "TextFile":
        """Read a file; UnicodeDecodeError where it is no UTF-8."""
        raw = data.decode("utf-8")
        text = raw.removeprefix(_BOM)
        crlf = tuple(line.endswith("\r") for line in text.split("\n")[:-1])
        return cls(plain(text), crlf, raw != text)

    def encoded(self) -> bytes:
        """The file's bytes."""
        ends = chain(("\r\n" if crlf else "\n" for crlf in self.crlf), [""])
        text = "".join(chain.from_iterable(zip(self.text.split("\n"), ends, strict=True)))
        return ((_BOM if self.bom else "") + text).encode("utf-8")

    def line_at(self, offset: int) -> int:
        """The number of the line that holds a place of `text`, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def shown(self, piece: str) -> str:
        """Return a piece of this file as `text` has it, whatever line ends it was copied with."""
        return plain(piece.removeprefix(_BOM) if self.bom else piece)

    def ends_in(self, start: int, stop: int) -> tuple[bool, ...]:
        """`crlf` of the line ends in a part of `text`."""
        first = self.text.count("\n", 0, start)
        return self.crlf[first : first + self.text.count("\n", start, stop)]

    def replaced(self, start: int, stop: int, new: str, crlf: Sequence[bool] | None = None) -> "TextFile":
        """Put other text in the place of a part of `text`.

        Args:
            start: where the part begins.
            stop: where it ends.
            new: the other text.
            crlf: of each line end in `new`. Otherwise its line ends are those of the part, one after the other, and
                then such as the place has; in a file without line ends they are `new`'s own.
        """
        first = self.text.count("\n", 0, start)
        gone = self.ends_in(start, stop)
        after = self.crlf[first + len(gone) :]
        text = self.shown(new)
        if crlf is None:
            near = (*gone[-1:], *after[:1], *self.crlf[:first][-1:])
            own = TextFile.decoded(new.encode("utf-8")).crlf
            crlf = tuple(islice(chain(gone, repeat(near[0])), text.count("\n"))) if near else own
        return replace(self, text=self.text[:start] + text + self.text[stop:], crlf=(*self.crlf[:first], *crlf, *after))
