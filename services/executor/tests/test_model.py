"""Whose time a model call is: the model's, or ours."""

import asyncio
from time import monotonic

import httpx
import pytest
from pydantic import SecretStr

from synthbench.contracts.records import Outcome
from synthbench.executor.adapters.model import GatewayModel
from synthbench.executor.domain.endings import InfraFailure, LimitReached, OutOfMoney, PermanentFailure

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Hi"}}], "model": "m"}


async def ask(status: int, waited: float, *, took: float = 0.2, timeout: float = 0.2, code: str = "upstream_timeout"):
    asked: list[httpx.Request] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await asyncio.sleep(took)
        body = ANSWER if status == 200 else {"error": {"code": code, "message": f"because of {code}"}}
        return httpx.Response(status, json=body, headers={"x-synthbench-waited-seconds": str(waited)})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        model = GatewayModel(client, "http://gateway", SecretStr("k"), "r", patience=0.1)
        try:
            return await model.ask([{"role": "user", "content": "Hello"}], [], timeout=timeout)
        finally:
            assert asked[0].headers["x-synthbench-deadline-seconds"] == f"{timeout:.3f}"


async def test_the_gateways_waits_are_off_the_agents_clock():
    timing = (await ask(200, 0.15)).timing
    assert timing.waited_seconds == pytest.approx(0.15, abs=0.01)
    assert 0.04 < timing.model_seconds < 0.15


async def test_a_model_that_took_all_the_time_is_a_limit():
    with pytest.raises(LimitReached) as ended:
        await ask(504, 0.0)
    assert ended.value.outcome is Outcome.TIME_LIMIT


async def test_a_deadline_that_our_waits_used_up_is_our_failure():
    with pytest.raises(InfraFailure, match="upstream_timeout"):
        await ask(504, 0.15)


@pytest.mark.parametrize(("status", "code"), [(402, "budget_exhausted"), (429, "budget_tied_up")])
async def test_a_shared_budget_without_money_is_nobodys_failure(status: int, code: str):
    with pytest.raises(OutOfMoney, match=f"because of {code}"):
        await ask(status, 0.0, took=0.0, code=code)


@pytest.mark.parametrize(
    ("status", "code", "scope"),
    [
        (403, "unknown_price", "submission"),
        (403, "upstream_credentials", "submission"),
        (404, "model_not_found", "submission"),
        (404, "not_recorded", "submission"),
        (400, "BadRequestError", "rollout"),
        (422, "upstream_refused", "rollout"),
    ],
)
async def test_what_stays_wrong_is_asked_once_and_fails_for_good(status: int, code: str, scope: str):
    with pytest.raises(PermanentFailure, match=f"^because of {code}$") as ended:
        await ask(status, 0.0, took=0.0, code=code)
    assert ended.value.scope == scope


@pytest.mark.parametrize(("status", "code"), [(403, "attempt_closed"), (401, "expired_api_key")])
async def test_a_key_that_is_over_is_no_fault_of_the_submission(status: int, code: str):
    with pytest.raises(InfraFailure) as ended:
        await ask(status, 0.0, took=0.0, code=code)
    assert not isinstance(ended.value, PermanentFailure)


@pytest.mark.parametrize(("wanted", "patience", "least"), [("1", 5.0, 1.0), ("300", 0.8, 0.8)])
async def test_a_pause_that_the_gateway_asks_for_is_kept_and_off_the_clock(wanted: str, patience: float, least: float):
    asked: list[float] = []

    async def handle(_: httpx.Request) -> httpx.Response:
        asked.append(monotonic())
        if asked[1:]:
            return httpx.Response(200, json=ANSWER)
        busy = {"error": {"code": "overloaded", "message": "come again"}}
        return httpx.Response(429, json=busy, headers={"retry-after": wanted})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        model = GatewayModel(client, "http://gateway", SecretStr("k"), "r", patience=patience)
        timing = (await model.ask([{"role": "user", "content": "Hello"}], [], timeout=5)).timing
    assert len(asked) == 2
    assert least - 0.02 < asked[1] - asked[0] < least + 2
    assert timing.waited_seconds >= least - 0.02 > timing.model_seconds
