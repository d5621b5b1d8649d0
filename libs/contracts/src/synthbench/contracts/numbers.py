"""Numbers that others gave, bounded so that every column, sum and JSON reader can hold them. Pure.

A record takes any number and keeps the nearest one that fits; what people ask for is refused with the bound instead
(`pydantic.Field(le=...)` on the request). The bound of whole numbers is that of JSON's exact ones: a thousand of the
greatest values still add up to less than a bigint of Postgres holds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

LARGEST = 2**53 - 1
LARGEST_INT = 2**31 - 1
"""Of a Postgres int."""
LARGEST_REAL = 1e100
"""Sums and squares of it are finite."""
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)


def bounded(value: object, least: float, most: float) -> float:
    """The nearest number between `least` and `most`; 0.0 for what is not a number (NaN).

    Raises:
        ValueError: it is no number at all.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, int):
        return min(max(value, int(least)), int(most))
    if not isinstance(value, float):
        raise ValueError("no number")  # noqa: TRY004 - pydantic reports ValueError as the field's error
    return 0.0 if math.isnan(value) else min(max(value, least), most)


def _parsed(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)  # also a whole number of more digits than `int` reads


def real(value: object, least: float, most: float) -> float:
    """The same with a fraction."""
    return float(bounded(value, least, most))


def whole(value: object, least: float, most: float) -> int:
    """The same for a whole number.

    Raises:
        ValueError: it is no whole number.
    """
    nearest = bounded(value, least, most)
    if nearest != int(nearest):
        raise ValueError("no whole number")
    return int(nearest)


def within_calendar(moment: datetime) -> datetime:
    """A time with a zone (UTC if it had none) that can be turned into any zone."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(aware, _EARLIEST), _LATEST)


@dataclass(frozen=True)
class ForeignNumber:
    """The pydantic type of foreign numbers: what fits is taken as it is (without a call into Python), else bounded."""

    least: float
    most: float
    fraction: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check in Rust first."""
        fits: CoreSchema
        nearest: Callable[[object, float, float], float]
        if self.fraction:
            fits, nearest = core_schema.float_schema(ge=self.least, le=self.most, allow_inf_nan=False), real
        else:
            fits, nearest = core_schema.int_schema(ge=int(self.least), le=int(self.most)), whole

        def convert(value: object) -> float:
            return nearest(value, self.least, self.most)

        converted = core_schema.no_info_plain_validator_function(convert)
        kind = "float_type" if self.fraction else "int_type"
        return core_schema.union_schema([fits, converted], mode="left_to_right", custom_error_type=kind)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Any number is valid."""
        return {"type": "number" if self.fraction else "integer"}


Count = Annotated[int, ForeignNumber(0, LARGEST)]
"""How many of something: tokens, bytes, calls, millionths of a dollar."""

SmallCount = Annotated[int, ForeignNumber(0, LARGEST_INT)]
"""How many of something that a column of 32 bits holds: steps, tries."""

Integer = Annotated[int, ForeignNumber(-LARGEST, LARGEST)]
"""A whole number with a sign: an exit code, a seed."""

Real = Annotated[float, ForeignNumber(-LARGEST_REAL, LARGEST_REAL, fraction=True)]
"""A finite number: seconds, a share, a reward."""

Moment = Annotated[datetime, AfterValidator(within_calendar)]
"""A time with a zone that every zone and Postgres can express."""
