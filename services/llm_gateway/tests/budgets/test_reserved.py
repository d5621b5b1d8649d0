"""What is reserved for a call is never less than it can cost, whatever it asks for."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from model_upstream import Played
from synthbench.contracts.records import Usage
from synthbench.llm_gateway.budgets.domain.accounts import Account
from synthbench.llm_gateway.budgets.domain.slices import BudgetSlices
from synthbench.llm_gateway.domain.catalogue import Model, Price
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.wire.extent import extent_of

DOLLARS = st.decimals(0, 100, places=2)
PRICES = st.builds(
    Price, input=DOLLARS, output=DOLLARS, cached=st.none() | st.just(Decimal(0)), cache_write=st.none() | DOLLARS,
    cache_write_1h=st.none() | DOLLARS, reasoning=st.none() | DOLLARS,
)  # fmt: skip
COUNTS = st.none() | st.integers(1, 128)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "n": COUNTS, "best_of": COUNTS, "candidate_count": COUNTS, "max_tokens": st.none() | st.integers(1, 9000),
        "max_completion_tokens": st.none() | st.integers(1, 9000),
        "thinking": st.fixed_dictionaries({"budget_tokens": st.integers(1, 9000)}),
        "prediction": st.fixed_dictionaries({"content": st.text(max_size=50)}),
        "system": st.just([{"type": "text", "cache_control": {"ttl": "1h"}}])
        | st.just([{"type": "text", "cache_control": {"type": "ephemeral"}}]),
    },
)  # fmt: skip
UNSAID = 4096


def used(request: dict, given: int, data: st.DataObject) -> Usage:
    """What a provider may bill that keeps to the request."""
    candidates = max(int(request.get(name) or 1) for name in ("n", "best_of", "candidate_count"))
    limits = [int(request[name]) for name in ("max_tokens", "max_completion_tokens") if request.get(name)]
    each = max(limits) if limits else UNSAID
    output = data.draw(st.integers(0, candidates * each), label="output")
    written = data.draw(st.integers(0, given if "system" in request else 0), label="written")
    hour = written if "ttl" in str(request.get("system")) else 0
    return Usage(
        input_tokens=given, cached_tokens=data.draw(st.integers(0, given - written)), cache_write_tokens=written,
        cache_write_1h_tokens=hour, output_tokens=output, reasoning_tokens=data.draw(st.integers(0, output)),
    )  # fmt: skip


@settings(deadline=None)
@given(PRICES, st.lists(st.tuples(REQUESTS, st.integers(1, 5000)), max_size=6), st.integers(0, 10**7), st.data())
def test_random_requests_never_spend_more_than_the_cap(price: Price, calls: list, cap: int, data: st.DataObject):
    cached_for_less = price.cached is None or price.cached <= price.input
    assert cached_for_less
    prices, budgets, spent = Prices(lambda _: Model(prices=price)), BudgetSlices(), 0
    account = Account("campaign/c", cap)
    budgets.add(account.scope, cap)
    for request, input_tokens in calls:
        extent = extent_of(request)
        most = prices.most("m", input_tokens, extent.output_tokens(UNSAID), extent.cache_seconds)
        cost = prices.cost("m", used(request, input_tokens, data))
        assert most is not None
        assert cost is not None
        assert cost <= most
        if (scopes := budgets.reserve([account], most)) is not None:
            budgets.settle(scopes, most, cost)
            spent += cost
    assert spent <= cap


async def test_many_answers_without_a_limit_of_tokens_are_refused_before_they_are_asked_for(gateway, upstream):
    """128 answers of 4,096 tokens for the price of none: the cap must hold before, not after."""
    for more in ({"n": 128}, {"n": 128, "max_tokens": 4096}, {"best_of": 128}):
        async with gateway.http("chat/small", max_cost_microusd=50_000) as client:
            body = {"messages": [{"role": "user", "content": "Hi"}], **more}
            answer = await client.post("/v1/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "cost_limit"), answer.text
    assert not upstream.seen


async def test_an_answer_without_choices_is_the_providers_failure_and_is_tried_again(gateway, upstream):
    upstream.play = Played({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}, [])
    assert await gateway.ask("openai", "chat/small", seconds=3) in ("upstream_garbage", "circuit_open")
    assert len(upstream.seen) > 1
