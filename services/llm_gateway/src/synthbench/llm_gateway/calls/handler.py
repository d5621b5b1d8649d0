"""Calls: the models of a route are tried within the deadline until one answers."""

import asyncio
import itertools
import random
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from time import monotonic
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.calls.context import CallContext, TryOutcome, TryPlan
from synthbench.llm_gateway.calls.http_exchange import HttpExchange
from synthbench.llm_gateway.calls.tries import TryRunner
from synthbench.llm_gateway.domain.breaker import Breaker
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.domain.refusals import circuit_open, failure_of_refusal
from synthbench.llm_gateway.domain.retries import RetryBudget, decide
from synthbench.llm_gateway.domain.routing import RouteChoice, choose
from synthbench.llm_gateway.models import Models
from synthbench.wire.failures import Failure, FallbackOn
from synthbench.wire.protocols import WireFormat
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.translate.from_openai import DEFAULT_ANSWER_TOKENS
from synthbench.wire.wires import WIRES

DEADLINE = "x-synthbench-deadline-seconds"
_REMEMBERED = 10_000
_BRIEFLY = 0.5
"""Seconds that a call waits for a limit where another model is next."""


class CallHandler:
    """Answers calls, by as many tries as it takes.

    Args:
        tries: makes them.
        models: the catalogue.
        prices: of models.
        seconds: that a call may take, all tries and pauses together.
        max_tries: of one model, for one call.
    """

    def __init__(self, tries: TryRunner, models: Models, prices: Prices, *, seconds: float, max_tries: int) -> None:
        self._tries = tries
        self._models = models
        self._prices = prices
        self._seconds = seconds
        self._max_tries = max_tries
        self._turns = itertools.count()
        self._kept: OrderedDict[tuple[UUID, int, str], str] = OrderedDict()
        """The model that answered an attempt on a route, for routes that stay with it."""
        self._breakers: dict[str, Breaker] = {}
        self._causes: dict[str, str] = {}
        """Each model's last failure that its circuit breaker counts."""
        self._budgets: dict[str, RetryBudget] = {}

    async def answer(
        self, claims: AttemptClaims, request: ModelRequest, wire: WireFormat, exchange: HttpExchange
    ) -> None:
        """Answer one request.

        Raises:
            Refusal: nothing was sent to the caller yet, and this is its answer.
        """
        route = _allowed(claims, request)
        deadline = monotonic() + _seconds(exchange, self._seconds)
        call = CallContext(claims, request, wire, exchange, route, deadline, exchange.passed_on)
        kept = (claims.rollout_id, claims.attempt, route)
        choice = choose(
            self._models.catalogue,
            claims,
            request,
            route,
            partial(self.estimate, sampling=claims.sampling),
            turn=next(self._turns),
            kept=self._kept.get(kept),
        )
        model = await self._until_answered(call, choice)
        if model != choice.models[0] or kept in self._kept:
            self._keep(kept, model)

    async def _until_answered(self, call: CallContext, choice: RouteChoice) -> str:
        """Try models until one answers; return which."""
        place, tries, reason = 0, 0, ""
        made, waited = 0, 0.0
        while True:
            model = choice.models[place]
            tries += 1
            plan = _plan(call, choice, place, reason, number=made + 1, waited=waited)
            outcome = await self._try(plan, first=tries == 1)
            made, waited = made + outcome.made, outcome.waited
            failure = outcome.failure
            if failure is None:
                return model
            if call.exchange.started:  # half an answer is out: nobody may pass another one off as its end
                raise failure.refusal
            failure.refusal.waited = waited
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
                place, tries, reason = decision.place, 0, decision.reason

    async def _try(self, plan: TryPlan, *, first: bool) -> TryOutcome:
        """Make one try, unless the model's circuit breaker is open."""
        model = plan.model
        if first:
            self._budgets.setdefault(model, RetryBudget()).call()
        breaker = self._breakers.setdefault(model, Breaker())
        pause = breaker.enter(monotonic())
        if pause:
            refusal = circuit_open(model, self._causes.get(model, "it failed again and again"), pause)
            return TryOutcome(failure_of_refusal(refusal), plan.waited, made=False)
        try:
            outcome = await self._tries.run(self._with_estimate(plan))
        except Refusal as refusal:
            outcome = TryOutcome(failure_of_refusal(refusal), plan.waited, made=False)
        except BaseException:
            breaker.passed()
            raise
        if outcome.failure is None:
            breaker.succeeded()
        else:
            self._failed(breaker, model, outcome.failure)
        return outcome

    def _with_estimate(self, plan: TryPlan) -> TryPlan:
        """Add the most that a try may use and cost.

        Raises:
            Refusal: 404, nobody serves the model; 400, the parameters that are added ask for work that is not counted.
        """
        request, sampling = plan.call.request, plan.call.claims.sampling
        tokens = request.input_tokens + self._output_tokens(plan.model, request, sampling)
        return replace(plan, tokens=tokens, estimate=self.estimate(plan.model, request, sampling))

    def _failed(self, breaker: Breaker, model: str, failure: Failure) -> None:
        if not failure.breaks:
            breaker.passed()
            return
        self._causes[model] = str(failure.refusal)
        rests = breaker.rests
        breaker.failed(monotonic())
        if breaker.rests > rests:
            metrics.OPENED.labels(model.partition("/")[0]).inc()

    def estimate(self, model: str, request: ModelRequest, sampling: Sampling) -> int | None:
        """Return the most that a request may cost, in millionths of a US dollar; None where the price is unknown.

        Raises:
            Refusal: 400, the parameters that are added ask for work that is not counted.
        """
        provider, _ = self._models.find(model)
        if provider.free:
            return 0
        output = self._output_tokens(model, request, sampling)
        seconds = WIRES[request.wire].extent(request.request).cache_seconds
        return self._prices.most(model.removeprefix(REPLAY_PREFIX), request.input_tokens, output, seconds)

    def _output_tokens(self, model: str, request: ModelRequest, sampling: Sampling) -> int:
        """Return the most tokens that all answers may have, with the parameters that are added before it goes out."""
        known = self._models.known(model)
        added = sampling.over(known.sampling)
        named = {name: value for name, value in request.request.items() if value is not None}
        extent = WIRES[request.wire].extent({**added.extra, **named})
        return extent.output_tokens(added.max_tokens or known.max_output or DEFAULT_ANSWER_TOKENS)

    def _keep(self, key: tuple[UUID, int, str], model: str) -> None:
        self._kept[key] = model
        self._kept.move_to_end(key)
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)


def _allowed(claims: AttemptClaims, request: ModelRequest) -> str:
    """Return the route that is asked for: the key's, whether it is named or not."""
    name = claims.route if request.model in ("", "default") else request.model
    if not claims.route:
        raise Refusal(403, "model_not_allowed", "this attempt's scaffold uses no model")
    if name != claims.route:
        raise Refusal(403, "model_not_allowed", f"this attempt's key is for {claims.route!r}, not for {name!r}")
    return name


def _plan(call: CallContext, choice: RouteChoice, place: int, failed: str, *, number: int, waited: float) -> TryPlan:
    """Plan the next try, which depends on whether another model comes after it; its estimate is still open."""
    another = choice.fallback_on if place + 1 < len(choice.models) else frozenset[FallbackOn]()
    left = call.deadline - monotonic()
    return TryPlan(
        call,
        choice.models[place],
        choice.why(place, failed),
        number,
        estimate=None,
        tokens=0,
        patience=min(_BRIEFLY, left) if FallbackOn.RATE_LIMIT in another else left,
        last=FallbackOn.BUDGET not in another,
        waited=waited,
    )


def _seconds(exchange: HttpExchange, most: float) -> float:
    given = exchange.headers.get(DEADLINE)
    if given is None:
        return most
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise Refusal(400, "invalid_request", f"{DEADLINE}: a number of seconds, not {given!r}")
    return min(most, seconds)
