"""Prices of calls: the operator's own, else those of `genai-prices`. A price that nobody knows is never zero."""

import time
from collections.abc import Callable
from decimal import ROUND_UP, Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from synthbench.contracts.records import Usage
from synthbench.llm_gateway.domain.catalogue import Model, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

Known = Callable[[str], Model]
"""Returns the catalogue's entry of a model."""

_MILLION = 1_000_000
_DAY = 86_400
_FIVE_MINUTES = 300
_HOUR_FACTOR = Decimal("1.6")
"""Anthropic asks 1.25 times the input's price for what is cached for five minutes, and twice for an hour."""


class Prices:
    """Looks prices up.

    Args:
        known: the catalogue's entry of a model; its prices win.
    """

    def __init__(self, known: Known) -> None:
        self._known = known

    def cost(self, model: str, usage: Usage) -> int | None:
        """Return the cost in millionths of a US dollar, rounded up; None where the price is unknown."""
        entry = self._known(model)
        if entry.prices is not None:
            return _microusd(own_price(entry.prices, usage))
        found = _listed(model, entry.name, int(time.time() // _DAY))
        if found is None:
            return None
        return _microusd(own_price(found, usage) if isinstance(found, Price) else _tiered_price(found, usage))

    def most(self, model: str, input_tokens: int, output_tokens: int, cache_seconds: int) -> int | None:
        """Return what a call may cost at most, in millionths of a US dollar; None where the price is unknown.

        Args:
            model: as the catalogue calls it.
            input_tokens: about so many.
            output_tokens: of all answers, at most; any part of them may be reasoning.
            cache_seconds: for how long the input may be written to the provider's cache; 0 for not at all.
        """
        plain = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        ways = [plain]
        if cache_seconds:
            hour = input_tokens if cache_seconds > _FIVE_MINUTES else 0
            ways.append(plain.model_copy(update={"cache_write_tokens": input_tokens, "cache_write_1h_tokens": hour}))
        ways += [way.model_copy(update={"reasoning_tokens": output_tokens}) for way in ways]
        return _dearest(partial(self.cost, model), ways)


def _dearest(cost: Callable[[Usage], int | None], usages: list[Usage]) -> int | None:
    found = [cost(usage) for usage in usages]
    known = [one for one in found if one is not None]
    return max(known) if len(known) == len(found) else None


def own_price(price: Price, usage: Usage) -> Decimal:
    """US dollars by a price that may name cached tokens, those written to a cache, and reasoning apart."""
    plain = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    answer = max(0, usage.output_tokens - usage.reasoning_tokens)
    cached = price.input if price.cached is None else price.cached
    written = price.input if price.cache_write is None else price.cache_write
    hour = written * _HOUR_FACTOR if price.cache_write_1h is None else price.cache_write_1h
    short_written = usage.cache_write_tokens - usage.cache_write_1h_tokens
    thought = price.output if price.reasoning is None else price.reasoning
    read = price.input * plain + cached * usage.cached_tokens
    read += written * short_written + hour * usage.cache_write_1h_tokens
    return (read + price.output * answer + thought * usage.reasoning_tokens) / _MILLION


@lru_cache(maxsize=1024)
def _listed(model: str, name: str, day: int) -> "Price | ModelPrice | None":  # noqa: ARG001 - prices change by the day
    """Return the price of a model in `genai-prices`, found by its whole name, or by provider and name.

    A price without tiers becomes one of ours: theirs takes 0.15 ms a call, twice for each call.
    """
    # PLC0415: a table of a few MB, only needed for real models.
    from genai_prices import Usage as Tokens  # noqa: PLC0415 - a large table, for paid models only
    from genai_prices import calc_price  # noqa: PLC0415 - a large table, for paid models only

    provider, _, rest = model.rpartition("/")
    for reference, provider_id in ((model, None), (name, None), (rest, provider or None), (rest, None)):
        if not reference:
            continue
        try:
            found = calc_price(Tokens(input_tokens=1, output_tokens=1), reference, provider_id=provider_id).model_price
        except LookupError:
            continue
        return _plain(found) or found
    return None


def _plain(price: "ModelPrice") -> Price | None:
    read, answer = price.input_mtok, price.output_mtok
    cached, written, hour = price.cache_read_mtok, price.cache_write_mtok, price.cache_write_1h_mtok
    if not isinstance(read, Decimal) or not isinstance(answer, Decimal):
        return None
    if not isinstance(cached, Decimal | None) or not isinstance(written, Decimal | None):
        return None
    if not isinstance(hour, Decimal | None):
        return None
    return Price(input=read, output=answer, cached=cached, cache_write=written, cache_write_1h=hour)


def _tiered_price(price: "ModelPrice", usage: Usage) -> Decimal:
    from genai_prices import Usage as Tokens  # noqa: PLC0415 - as above

    tokens = Tokens(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        cache_write_1h_tokens=usage.cache_write_1h_tokens or None,
        output_tokens=usage.output_tokens,
    )
    return price.calc_price(tokens)["total_price"]


def _microusd(dollars: Decimal) -> int:
    return int((dollars * _MILLION).to_integral_value(ROUND_UP))
