"""What a call costs: the operator's own table first, then `genai-prices`. Unknown is unknown, never free."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from pathlib import Path

from synthbench.chassis.errors import SettingsError
from synthbench.contracts.records import Usage


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    input: Decimal
    output: Decimal


class Prices:
    """Looks prices up."""

    def __init__(self, own: Mapping[str, Price]) -> None:
        self._own = own

    def cost(self, model: str, usage: Usage) -> int | None:
        """Return the cost in millionths of a US dollar, rounded up; None where the price is unknown."""
        own = self._own.get(model)
        if own is not None:
            return _microusd((own.input * usage.input_tokens + own.output * usage.output_tokens) / 1_000_000)
        # PLC0415: a table of a few MB, only needed for real models.
        from genai_prices import Usage as Tokens  # noqa: PLC0415 - a large table, for paid models only
        from genai_prices import calc_price  # noqa: PLC0415 - a large table, for paid models only

        tokens = Tokens(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens or None,
            output_tokens=usage.output_tokens,
        )
        provider, _, name = model.rpartition("/")
        for reference, provider_id in ((model, None), (name, provider or None), (name, None)):
            try:
                return _microusd(calc_price(tokens, reference, provider_id=provider_id).total_price)
            except LookupError:
                continue
        return None


def _microusd(dollars: Decimal) -> int:
    return int((dollars * 1_000_000).to_integral_value(ROUND_UP))


def load_prices(path: Path | None) -> Prices:
    """Read the operator's table.

    Raises:
        SettingsError: it cannot be read, or a price is no number.
    """
    if path is None:
        return Prices({})
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        own = {
            model: Price(Decimal(str(price["input"])), Decimal(str(price["output"])))
            for model, price in content.items()
        }
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise SettingsError(f'SYNTHBENCH_PRICES_FILE {path}: {error}; write ["model"] with input and output') from error
    return Prices(own)
