"""Probes of routes: whether one can be used now, before a submission is accepted, so that nothing is run in vain.

A provider is asked with a request that has no messages: whoever is well refuses it (400), before any model has worked,
so that nothing is billed. How it is refused tells of wrong addresses, keys and names. A server that fails at it gets
one short question, for some local ones cannot refuse; that one is in no ledger.
"""

import asyncio
import json
from collections import OrderedDict
from contextlib import suppress
from time import monotonic
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims, ProbeClaims
from synthbench.contracts.loose import parse_object
from synthbench.contracts.records import Usage
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.domain.refusals import unknown_price
from synthbench.llm_gateway.models import Models
from synthbench.wire.failures import TryFailed, garbage
from synthbench.wire.protocols import WireFormat
from synthbench.wire.providers import Provider, ProviderRequest
from synthbench.wire.refusal import Refusal
from synthbench.wire.wires import WIRES

_SECONDS = 5.0
_GOOD_SECONDS, _BAD_SECONDS = 30.0, 5.0
"""How long an answer is believed, so that a campaign asks once."""
_REMEMBERED = 1000
_ANSWER_TOKENS = 16
_TELLING = ("upstream_unreachable", "upstream_credentials", "model_not_found")
_DOUBTFUL = ("upstream_status", "upstream_garbage", "upstream_reset", "broken_stream")
"""What a server may also do that only cannot refuse an odd request."""
_QUESTION = [{"role": "user", "content": "Say OK."}]
_NOBODY = UUID(int=0)


class Prober:
    """Probes routes, each from time to time."""

    def __init__(self, models: Models, prices: Prices) -> None:
        self._models = models
        self._prices = prices
        self._known: OrderedDict[ProbeClaims, tuple[float, str]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def problem(self, claims: ProbeClaims) -> str:
        """Return why no model of a route can be used, in one line; empty where one can."""
        async with self._lock:  # whoever asks for the same route meanwhile finds the answer
            until, problem = self._known.get(claims, (0.0, ""))
            if monotonic() < until:
                return problem
            problem = await self._ask(claims)
            self._known[claims] = monotonic() + (_BAD_SECONDS if problem else _GOOD_SECONDS), problem
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return problem

    async def _ask(self, claims: ProbeClaims) -> str:
        problems: list[str] = []
        for model in self._models.catalogue.route(claims.route).models:
            problem = await self._of_model(model, allow_unknown_price=claims.allow_unknown_price)
            if not problem:
                return ""
            problems.append(f"{model}: {problem}")
        return "; ".join(problems)

    async def _of_model(self, model: str, *, allow_unknown_price: bool) -> str:
        try:
            provider, name = self._models.find(model)
        except Refusal as refusal:
            return str(refusal)
        if provider.free:
            offered = provider.models()
            known = not offered or name in offered or name.startswith(REPLAY_PREFIX)
            return "" if known else f"there is no such model; there are {', '.join(offered)}"
        if self._models.offline or model.startswith(REPLAY_PREFIX):
            return ""
        if not allow_unknown_price and self._prices.cost(model, Usage(input_tokens=1, output_tokens=1)) is None:
            return str(unknown_price(model))
        code, problem = await _refusal_of(provider, name, [])
        if code in _DOUBTFUL:
            code, problem = await _refusal_of(provider, name, _QUESTION)
        return problem if code in (*_TELLING, *_DOUBTFUL) else ""


async def _refusal_of(provider: Provider, name: str, messages: list[dict[str, str]]) -> tuple[str, str]:
    """Send one short request.

    Returns:
        Code and line of what went wrong; empty where an answer came.
    """
    request = {"model": name, "messages": messages, "max_tokens": _ANSWER_TOKENS}
    claims = AttemptClaims(
        submission_id=_NOBODY, campaign="", rollout_id=_NOBODY, attempt=1, route=name, task_digest="",
        max_cost_microusd=0, submission_cost_microusd=0,
    )  # fmt: skip
    body = json.dumps(request).encode()
    provider_request = ProviderRequest(
        name, request, body, stream=False, claims=claims, timeout=_SECONDS, idle=_SECONDS
    )
    try:
        response = await provider.send(provider_request)
    except TryFailed as error:
        return error.failure.refusal.code, str(error.failure.refusal)
    except Refusal as refusal:
        return refusal.code, str(refusal)
    with suppress(Exception):
        await response.aclose()
    return _garbage_in(WIRES[provider.wire], response.body)


def _garbage_in(wire: WireFormat, body: bytes) -> tuple[str, str]:
    answer = parse_object(body)
    if answer.get("error") or wire.is_answer(answer):
        return "", ""
    refusal = garbage(wire.name, body).refusal
    return refusal.code, str(refusal)
