"""A call: choose the models, try them within the deadline, answer."""

import asyncio
import itertools
import random
from collections import OrderedDict
from functools import partial
from time import monotonic
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.ids import uuid7
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.calls.context import Call
from synthbench.llm_gateway.calls.handler.http_exchange import HttpExchange
from synthbench.llm_gateway.calls.tries import TryRunner
from synthbench.llm_gateway.domain.breaker import Breaker
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.domain.refusals import circuit_open, failure_of_refusal
from synthbench.llm_gateway.domain.retries import RetryBudget, decide
from synthbench.llm_gateway.domain.routing import RouteChoice, choose
from synthbench.llm_gateway.models import Models
from synthbench.wire.extent import extent_of
from synthbench.wire.failures import Failure, FallbackOn, TryFailed
from synthbench.wire.protocols import WireFormat
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.translate.from_openai import DEFAULT_ANSWER_TOKENS

DEADLINE = "x-synthbench-deadline-seconds"
_REMEMBERED = 10_000
_BRIEFLY = 0.5
"""Seconds that a call waits for a limit where another model is next."""


class CallHandler:
    """Answers calls, by as many tries as it takes."""

    def __init__(self, tries: TryRunner, models: Models, prices: Prices, *, seconds: float, max_tries: int) -> None:
        self._tries = tries
        self._models = models
        self._prices = prices
        self._seconds = seconds
        self._max_tries = max_tries
        self._turns = itertools.count()
        self._kept: OrderedDict[tuple[UUID, int, str], str] = OrderedDict()
        self._breakers: dict[str, Breaker] = {}
        self._causes: dict[str, str] = {}
        """Of each model's last failure that its breaker counts."""
        self._budgets: dict[str, RetryBudget] = {}

    async def answer(self, claims: AttemptClaims, asked: ModelRequest, wire: WireFormat, caller: HttpExchange) -> None:
        """Answer one request.

        Raises:
            Refusal: nothing was sent to the caller yet, and this is what it gets.
        """
        name = _allowed(claims, asked)
        deadline = monotonic() + _seconds(caller, self._seconds)
        call = Call(uuid7(), claims, asked, wire, caller, name, deadline, caller.passed_on)
        kept = (claims.rollout_id, claims.attempt, name)
        choice = choose(
            self._models.catalogue,
            claims,
            asked,
            name,
            partial(self.estimate, sampling=claims.sampling),
            turn=next(self._turns),
            kept=self._kept.get(kept),
        )
        model = await self._until_answered(call, choice)
        if model != choice.models[0] or kept in self._kept:
            self._keep(kept, model)

    async def _until_answered(self, call: Call, choice: RouteChoice) -> str:
        place, tries, failed = 0, 0, ""
        while True:
            model = choice.models[place]
            tries += 1
            try:
                _look_ahead(call, choice, place)
                await self._one(call, model, choice.why(place, failed), first=tries == 1)
            except TryFailed as error:
                failure = error.failure
            except Refusal as refusal:
                failure = failure_of_refusal(refusal)
            else:
                return model
            if call.caller.started:  # half an answer is out: nobody may pass another one off as its end
                raise failure.refusal
            failure.refusal.waited = call.waited
            decision = decide(
                failure,
                choice,
                place,
                tries,
                max_tries=self._max_tries,
                seconds_left=call.deadline - monotonic(),
                budget=self._budgets.setdefault(model, RetryBudget()),
                chance=random.random(),  # noqa: S311 - jitter
            )
            metrics.RETRIES.labels(decision.action).inc()
            if decision.action == "give_up":
                raise failure.refusal
            if decision.action == "again":
                await asyncio.sleep(decision.pause)
            else:
                place, tries, failed = decision.place, 0, decision.reason

    async def _one(self, call: Call, model: str, why: str, *, first: bool) -> None:
        if first:
            self._budgets.setdefault(model, RetryBudget()).call()
        breaker = self._breakers.setdefault(model, Breaker())
        pause = breaker.enter(monotonic())
        if pause:
            raise circuit_open(model, self._causes.get(model, "it failed again and again"), pause)
        try:
            output = self._output_tokens(model, call.asked, call.claims.sampling)
            call.tokens = call.asked.input_tokens + output
            await self._tries.make(call, model, why, self.estimate(model, call.asked, call.claims.sampling))
        except TryFailed as error:
            self._failed(breaker, model, error.failure)
            raise
        except BaseException:
            breaker.passed()
            raise
        breaker.succeeded()

    def _failed(self, breaker: Breaker, model: str, failure: Failure) -> None:
        if not failure.breaks:
            breaker.passed()
            return
        self._causes[model] = str(failure.refusal)
        rests = breaker.rests
        breaker.failed(monotonic())
        if breaker.rests > rests:
            metrics.OPENED.labels(model.partition("/")[0]).inc()

    def estimate(self, model: str, asked: ModelRequest, sampling: Sampling) -> int | None:
        """What a request may cost with a model at most, in millionths of a US dollar; None where its price is unknown.

        Raises:
            Refusal: 400, the parameters that are added ask for what is not counted.
        """
        provider, _ = self._models.find(model)
        if provider.free:
            return 0
        output = self._output_tokens(model, asked, sampling)
        seconds = extent_of(asked.request).cache_seconds
        return self._prices.most(model.removeprefix(REPLAY_PREFIX), asked.input_tokens, output, seconds)

    def _output_tokens(self, model: str, asked: ModelRequest, sampling: Sampling) -> int:
        """Of all answers at most, with the parameters that are added to the request before it goes out."""
        known = self._models.known(model)
        added = sampling.over(known.sampling)
        said = {name: value for name, value in asked.request.items() if value is not None}
        extent = extent_of({**added.extra, **said})
        return extent.output_tokens(added.max_tokens or known.max_output or DEFAULT_ANSWER_TOKENS)

    def _keep(self, key: tuple[UUID, int, str], model: str) -> None:
        self._kept[key] = model
        self._kept.move_to_end(key)
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)


def _allowed(claims: AttemptClaims, asked: ModelRequest) -> str:
    """The route that is asked for: the key's, whether it is named or not."""
    name = claims.route if asked.model in ("", "default") else asked.model
    if not claims.route:
        raise Refusal(403, "model_not_allowed", "this attempt's scaffold uses no model")
    if name != claims.route:
        raise Refusal(403, "model_not_allowed", f"this attempt's key is for {claims.route!r}, not for {name!r}")
    return name


def _look_ahead(call: Call, choice: RouteChoice, place: int) -> None:
    """Tell the newest try what another model that comes after it changes."""
    another = choice.fallback_on if place + 1 < len(choice.models) else frozenset[FallbackOn]()
    left = call.deadline - monotonic()
    call.last = FallbackOn.BUDGET not in another
    call.patience = min(_BRIEFLY, left) if FallbackOn.RATE_LIMIT in another else left


def _seconds(caller: HttpExchange, most: float) -> float:
    given = caller.headers.get(DEADLINE)
    if given is None:
        return most
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise Refusal(400, "invalid_request", f"{DEADLINE}: a number of seconds, not {given!r}")
    return min(most, seconds)
