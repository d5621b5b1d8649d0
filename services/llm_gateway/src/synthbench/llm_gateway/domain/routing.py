"""Routing: a route's models are put in the order in which they are tried, with the reason. Pure.

A choice depends on the key, the request and the catalogue alone, so that every replica makes the same one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.domain.catalogue import Model, ModelCatalogue, Route, Strategy
from synthbench.wire.failures import FallbackOn
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest

Cost = Callable[[str, ModelRequest], int | None]
"""Micro-dollars that a request may cost with a model; None where its price is unknown."""


@dataclass(frozen=True)
class RouteChoice:
    """The models to try, the best first."""

    route: str
    strategy: Strategy
    models: tuple[str, ...]
    reason: str
    fallback_on: frozenset[FallbackOn]
    windows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Context of the models that name one, in tokens."""

    def next_place(self, place: int, failed: FallbackOn | None) -> int | None:
        """The model to try after the one at this place; after an overflow only one with a larger window, or with one
        that nobody knows."""
        if failed not in self.fallback_on:
            return None
        later = range(place + 1, len(self.models))
        if failed is not FallbackOn.CONTEXT:
            return next(iter(later), None)
        window = self.windows.get(self.models[place], 0)
        return next((number for number in later if self.windows.get(self.models[number], window + 1) > window), None)

    def why(self, place: int, failed: str = "") -> str:
        """Say why the model at this place is tried."""
        after = f", after {failed}" if failed else ""
        return f"{self.strategy} {place + 1} of {len(self.models)}: {self.reason}{after}"


def choose(
    catalogue: ModelCatalogue,
    claims: AttemptClaims,
    request: ModelRequest,
    name: str,
    cost: Cost,
    *,
    turn: int = 0,
    kept: str | None = None,
) -> RouteChoice:
    """Order the route's models.

    Args:
        catalogue: models and routes.
        claims: the attempt, whose place in the split decides.
        asked: the request, which a model must be able to take.
        name: of the route, or of a model.
        cost: what it may cost with a model.
        turn: number of the call, for routes that are not sticky.
        kept: the model that answered this attempt before.

    Raises:
        Refusal: 400, no model of the route can take the request.
    """
    route = catalogue.route(name)
    able, problems = _able(route, catalogue, request)
    if not able:
        code = "context_length_exceeded" if problems and all("tokens" in text for text in problems) else "unsupported"
        raise Refusal(400, code, f"no model of {name!r} can take this request: {'; '.join(problems)}")
    order, reason = _order(route, name, able, catalogue, claims, request, cost, turn)
    if route.sticky and kept in order and kept != order[0]:
        order, reason = [kept, *(model for model in order if model != kept)], "it answered this attempt before"
    if problems:
        reason += f"; not {'; '.join(problems)}"
    windows = {model: size for model in order if (size := catalogue.model(model).context)}
    return RouteChoice(name, route.strategy, tuple(order), reason, frozenset(route.fallback_on), windows)


def _able(route: Route, catalogue: ModelCatalogue, request: ModelRequest) -> tuple[list[str], list[str]]:
    able: list[str] = []
    problems: list[str] = []
    for name in route.models:
        problem = _problem(catalogue.model(name), request)
        if problem:
            problems.append(f"{name} {problem}")
        else:
            able.append(name)
    return able, problems


def _problem(model: Model, request: ModelRequest) -> str:
    if request.tools and not model.tools:
        return "takes no tools"
    if request.vision and not model.vision:
        return "takes no images"
    if model.context and request.input_tokens > model.context:
        return f"has a context of {model.context} tokens, and about {request.input_tokens} are sent"
    return ""


def _order(
    route: Route,
    name: str,
    able: list[str],
    catalogue: ModelCatalogue,
    claims: AttemptClaims,
    request: ModelRequest,
    cost: Cost,
    turn: int,
) -> tuple[list[str], str]:
    match route.strategy:
        case Strategy.FIXED | Strategy.FALLBACK:
            return able, "the first that can take it"
        case Strategy.ROUND_ROBIN:
            place = (claims.seed if route.sticky else claims.seed + turn) % len(able)
            return _rotated(able, place), f"seed {claims.seed}" if route.sticky else f"seed {claims.seed}, call {turn}"
        case Strategy.WEIGHTED:
            key = f"{name}/{claims.rollout_id}/{claims.attempt}" + ("" if route.sticky else f"/{turn}")
            return _drawn(route, able, key, "weight")
        case Strategy.AB:
            return _drawn(route, able, f"{name}/{claims.rollout_id}", "arm")
        case Strategy.CHEAPEST:
            prices = {model: cost(model, request) for model in able}
            order = sorted(able, key=lambda model: _price_key(prices[model]))
            return order, f"at most {prices[order[0]]} micro-dollars"
        case Strategy.CAPABILITY:
            return _by_score(route, able, catalogue, claims, request, cost)


def _price_key(price: int | None) -> tuple[bool, int]:
    return price is None, price or 0


def _rotated(models: list[str], place: int) -> list[str]:
    return [*models[place:], *models[:place]]


def share(key: str) -> float:
    """A number in [0, 1) that is always the same for a key, and spread evenly over keys."""
    return int.from_bytes(blake2b(key.encode(), digest_size=6).digest(), "big") / 2**48


def _drawn(route: Route, able: Sequence[str], key: str, word: str) -> tuple[list[str], str]:
    """Pick by weight among those that can take the request; the others follow in the file's order."""
    weights = dict(zip(route.models, route.weights or [1.0] * len(route.models), strict=True))
    total = sum(weights[model] for model in able)
    point = share(key) * total
    for place, model in enumerate(able):
        point -= weights[model]
        if point < 0 or place == len(able) - 1:
            return _rotated(list(able), place), f"{word} {weights[model] / total if total else 1:.0%}"
    raise AssertionError("one of them is the last")


def _by_score(
    route: Route, able: list[str], catalogue: ModelCatalogue, claims: AttemptClaims, request: ModelRequest, cost: Cost
) -> tuple[list[str], str]:
    """The cheapest that is good enough, then the better ones; without one that is, the best first."""
    scores = {model: score(catalogue.model(model), claims.category, claims.difficulty) for model in able}
    best = sorted(able, key=lambda model: -scores[model])
    enough = [model for model in best if scores[model] >= route.min_score] if route.min_score else []
    if enough:
        enough.sort(key=lambda model: _price_key(cost(model, request)))
    order = enough + [model for model in best if model not in enough]
    what = f"{claims.category or 'any'}/{claims.difficulty or 'any'}"
    return order, f"score {scores[order[0]]:g} for {what}"


def score(model: Model, category: str, difficulty: str) -> float:
    """The most exact score that is named: category/difficulty, category, difficulty, default."""
    for name in (f"{category}/{difficulty}", category, difficulty, "default"):
        if name in model.scores:
            return model.scores[name]
    return 0.0
