"""Routes, retries, breakers, splicing and events: decisions without I/O."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.domain.breaker import Breaker, BreakerState
from synthbench.llm_gateway.domain.catalogue import CatalogueError, ModelCatalogue, Strategy, read_catalogue
from synthbench.llm_gateway.domain.retries import RetryBudget, decide
from synthbench.llm_gateway.domain.routing import RouteChoice, choose
from synthbench.wire.failures import FallbackOn, broken_stream, failure_of_status, retry_after, unreachable
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.splice import with_fields
from synthbench.wire.sse import EventTooLong, Splitter

MODELS: dict[str, Any] = {
    "a/small": {"context": 1000, "vision": False, "scores": {"default": 0.2, "bugfix": 0.7}},
    "a/large": {"context": 100_000, "scores": {"default": 0.9, "bugfix/hard": 0.1}},
    "b/plain": {"tools": False, "scores": {"default": 0.5}},
}
COSTS = {"a/small": 10, "a/large": 100, "b/plain": None}


def catalogue(**route: Any) -> ModelCatalogue:
    wanted = {"models": list(MODELS), "strategy": "fallback", **route}
    return read_catalogue({"models": MODELS, "routes": {"r": wanted}})


def claims(**changes: Any) -> AttemptClaims:
    given: dict[str, Any] = {
        "submission_id": uuid4(), "campaign": "c", "rollout_id": uuid4(), "attempt": 1, "route": "r",
        "task_digest": "sha256:" + "0" * 64, "max_cost_microusd": 1, "submission_cost_microusd": 1,
    }  # fmt: skip
    return AttemptClaims(**(given | changes))


def asked(**changes: Any) -> ModelRequest:
    given: dict[str, Any] = {
        "wire": "openai", "model": "r", "body": b"{}", "request": {}, "stream": False,
        "input_tokens": 10, "tools": False, "vision": False,
    }  # fmt: skip
    return ModelRequest(**(given | changes))


def pick(found: ModelCatalogue, key: AttemptClaims, given: ModelRequest | None = None, **more: Any) -> RouteChoice:
    return choose(found, key, given or asked(), "r", lambda model, _: COSTS[model], **more)


def test_a_model_that_lacks_what_is_asked_for_is_passed_over():
    found = catalogue()
    assert pick(found, claims()).models == ("a/small", "a/large", "b/plain")
    assert pick(found, claims(), asked(tools=True)).models == ("a/small", "a/large")
    assert pick(found, claims(), asked(vision=True)).models == ("a/large", "b/plain")
    overflow = pick(found, claims(), asked(input_tokens=5000))
    assert overflow.models == ("a/large", "b/plain")
    assert "a/small has a context of 1000 tokens, and about 5000 are sent" in overflow.reason
    with pytest.raises(Refusal) as caught:
        pick(catalogue(models=["a/small"]), claims(), asked(input_tokens=5000))
    assert caught.value.code == "context_length_exceeded"


def test_round_robin_gives_each_model_the_same_share_of_samples():
    found = catalogue(strategy="round_robin")
    firsts = Counter(pick(found, claims(seed=seed)).models[0] for seed in range(30))
    assert set(firsts.values()) == {10}
    loose = catalogue(strategy="round_robin", sticky=False)
    assert [pick(loose, claims(), turn=turn).models[0] for turn in range(3)] == list(MODELS)


def test_weights_are_kept_and_an_arm_is_stable():
    weighted = catalogue(strategy="weighted", weights=[1, 3, 0])
    firsts = Counter(pick(weighted, claims()).models[0] for _ in range(2000))
    assert firsts["b/plain"] == 0
    assert 0.20 < firsts["a/small"] / 2000 < 0.30
    split = catalogue(strategy="ab")
    for _ in range(20):
        rollout = uuid4()
        arms = {pick(split, claims(rollout_id=rollout, attempt=number)).models[0] for number in (1, 2, 3)}
        assert len(arms) == 1


def test_the_cheapest_first_and_an_unknown_price_last():
    assert pick(catalogue(strategy="cheapest"), claims()).models == ("a/small", "a/large", "b/plain")


def test_capability_by_category_and_difficulty():
    found = catalogue(strategy="capability")
    assert pick(found, claims()).models == ("a/large", "b/plain", "a/small")
    assert pick(found, claims(category="bugfix", difficulty="hard")).models[0] == "a/small"
    enough = catalogue(strategy="capability", min_score=0.6)
    assert pick(enough, claims(category="bugfix", difficulty="easy")).models[0] == "a/small"


def test_an_attempt_stays_with_the_model_that_answered_it():
    kept = pick(catalogue(), claims(), kept="a/large")
    assert kept.models == ("a/large", "a/small", "b/plain")
    assert kept.why(1, "upstream_status") == "fallback 2 of 3: it answered this attempt before, after upstream_status"
    assert pick(catalogue(sticky=False), claims(), kept="a/large").models[0] == "a/small"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"models": {"a": {"contxt": 5}}}, "models.a.contxt: Extra inputs are not permitted"),
        ({"routes": {"r": {"strategy": "best", "models": ["a"]}}}, "routes.r.strategy: Input should be"),
        ({"routes": {"r": {"strategy": "ab", "models": ["a", "b"], "weights": [1]}}}, "2 models need as many weights"),
        (
            {"models": {"a": {}}, "routes": {"a": {"strategy": "fixed", "models": ["a"]}}},
            "a: names a model and a route",
        ),
        ({"routes": {"r": {"strategy": "fixed", "models": ["sim/expert"]}}}, "named sim/"),
        ({"models": {"a": {"prices": {"input": -1, "output": 1}}}}, "models.a.prices.input"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(content: dict, line: str):
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(content)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


CHOICE = RouteChoice("r", Strategy.FALLBACK, ("a", "b"), "", frozenset(FallbackOn))
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def after(failure: Any, **more: Any) -> tuple[str, float]:
    given: dict[str, Any] = {
        "place": 0,
        "tries": 1,
        "max_tries": 3,
        "seconds_left": 60.0,
        "budget": RetryBudget(),
        "chance": 0.5,
    }
    decision = decide(failure, CHOICE, **(given | more))
    return decision.action, decision.pause


def test_what_comes_after_a_failure():
    assert after(unreachable("x")) == ("again", 0.25)
    assert after(unreachable("x"), tries=2) == ("again", 0.5)
    assert after(unreachable("x"), tries=3) == ("fallback", 0.0)
    assert after(unreachable("x"), tries=3, place=1)[0] == "give_up"
    assert after(unreachable("x"), seconds_left=0.0)[0] == "give_up"
    assert after(unreachable("x"), budget=RetryBudget(0.0))[0] == "fallback"
    assert after(failure_of_status(401, {}, b"{}", NOW))[0] == "fallback"
    assert after(failure_of_status(422, {}, b"{}", NOW))[0] == "give_up"
    limited = failure_of_status(429, {"retry-after": "7"}, b"{}", NOW)
    assert after(limited) == ("fallback", 0.0)
    assert after(limited, place=1) == ("again", 7.0)
    assert after(limited, place=1, seconds_left=5.0)[0] == "give_up"


def test_after_an_overflow_only_a_larger_window_is_tried():
    models, windows = ("a", "b", "c", "d"), {"a": 100, "b": 100, "c": 200}
    found = RouteChoice("r", Strategy.FALLBACK, models, "", frozenset(FallbackOn), windows)
    assert found.next_place(0, FallbackOn.ERROR) == 1
    assert found.next_place(0, FallbackOn.CONTEXT) == 2
    assert found.next_place(2, FallbackOn.CONTEXT) == 3  # nobody knows how large it is
    assert found.next_place(3, FallbackOn.CONTEXT) is None
    assert found.next_place(0, None) is None


def test_what_may_have_been_billed_is_unknown():
    assert broken_stream("x").unknown
    assert not unreachable("x").unknown
    assert not failure_of_status(500, {}, b"", NOW).unknown


def test_retry_after_as_seconds_milliseconds_and_date():
    assert retry_after({"retry-after": "3"}, NOW) == 3.0
    assert retry_after({"retry-after-ms": "250"}, NOW) == 0.25
    assert retry_after({"retry-after": "Tue, 24 Nov 2026 12:00:09 GMT"}, NOW) == 9.0
    assert retry_after({"retry-after": "soon"}, NOW) is None
    assert retry_after({}, NOW) is None


def test_a_retry_budget_is_a_fifth_of_the_calls():
    budget = RetryBudget(0.0)
    for _ in range(12):
        budget.call()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_a_breaker_opens_probes_and_closes():
    breaker = Breaker()
    for _ in range(5):
        assert breaker.enter(0.0) == 0.0
        breaker.failed(0.0)
    assert breaker.state(1.0) is BreakerState.OPEN
    assert breaker.enter(1.0) == pytest.approx(1.0)
    assert breaker.enter(2.5) == 0.0
    assert breaker.enter(2.5) > 0  # one probe at a time
    breaker.failed(2.5)
    assert breaker.enter(5.0) > 0  # and a longer rest
    assert breaker.enter(7.0) == 0.0
    breaker.succeeded()
    assert breaker.state(7.0) is BreakerState.CLOSED


@pytest.mark.parametrize(
    "body",
    [
        b'{ "model" : "route", "x_new": 1.0, "messages": [{"content": "say \\"model\\": \\"x\\""}]}',
        b'{"messages": [], "model":"route"}',
    ],
)
def test_only_the_models_name_changes(body: bytes):
    assert with_fields(body, json.loads(body), {"model": "m"}) == body.replace(b'"route"', b'"m"')
    added = with_fields(body, json.loads(body), {"model": "m", "more": {"a": True}})
    assert json.loads(added) == {**json.loads(body), "model": "m", "more": {"a": True}}
    assert with_fields(body, json.loads(body), {"model": "route"}) == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "expensive", "model": "route"}',
        b'{"model": "expensive", "mod\\u0065l": "route"}',
        b'{"metadata": {"model": "route"}, "model": "route"}',
    ],
)
def test_in_doubt_the_provider_reads_what_was_checked(body: bytes):
    sent = with_fields(body, json.loads(body), {"model": "m"})
    assert json.loads(sent)["model"] == "m"
    assert b"expensive" not in sent


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_cut_out_wherever_the_chunks_end(size: int):
    raw = b': hello\n\ndata: {"a": 1}\n\nevent: x\r\ndata: {"b": 2}\r\n\r\ndata: [DONE]\n\n'
    splitter = Splitter(1000)
    events = [event for at in range(0, len(raw), size) for event in splitter.feed(raw[at : at + size])]
    assert [event.data for event in events] == [b'{"a": 1}', b'{"b": 2}', b"[DONE]"]
    assert b"".join(event.raw for event in events) == raw.removeprefix(b": hello\n\n")
    with pytest.raises(EventTooLong):
        Splitter(10).feed(b"data: 123456789")
