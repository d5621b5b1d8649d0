"""The model, as an attempt sees it: the llm-gateway's OpenAI endpoint, with the attempt's key."""

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr

from synthbench.chassis import genai
from synthbench.chassis.telemetry import current_trace, span
from synthbench.contracts.json_limits import JsonLimits, JsonMeter, TooMuchJson
from synthbench.contracts.loose import as_object, parse_object
from synthbench.contracts.records import Outcome, Timing, Usage
from synthbench.contracts.steps import ModelCall, Step
from synthbench.executor.domain.endings import (
    AgentFailed,
    ContextFull,
    InfraFailure,
    LimitReached,
    OutOfMoney,
    PermanentFailure,
)
from synthbench.executor.domain.resuming import request_messages
from synthbench.wire.turns import first_choice
from synthbench.wire.wires import WIRES

_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE = 10.0
_RETRIED = (429, 500, 502, 503, 504)
_OF_THE_REQUEST = (400, 413, 422)
_OF_THE_DEPLOYMENT = ("unknown_price", "upstream_credentials", "model_not_found", "model_not_allowed", "not_recorded")
"""Codes that stand for every call of the submission."""
_GARBAGE = "upstream_garbage"
"""The gateway has tried again already: what answers like this goes on to."""
_CONNECT_SECONDS = 5.0
_DEADLINE = "x-synthbench-deadline-seconds"
_ASKED_BEFORE = "x-stainless-retry-count"
"""The header of the official SDKs that counts retries; recordings tell a repeated question from a new one by it."""
_ANSWER_JSON = JsonLimits(marks=1_000_000)
_PIECE = 1024 * 1024
"""Bytes of an answer that are counted before others may run."""
COMPLETIONS = "/v1/chat/completions"
_GRACE_SECONDS = 10.0
_SAME = 0.01
"""Seconds that do not matter: a pause to the end of our patience is within it."""
_TIMED_OUT, _MOST = 504, 0.9
"""A time-out is the model's own doing if most of the time passed while it was asked."""
_NO_MONEY, _MONEY_TIED_UP = "budget_exhausted", "budget_tied_up"
_COST_LIMIT, _CONTEXT_FULL = "cost_limit", "context_length_exceeded"


@dataclass(frozen=True)
class Completion:
    """The answer of one model call."""

    message: dict[str, Any]
    """The assistant message; empty where the model gave none."""
    usage: Usage
    timing: Timing
    call: ModelCall
    finish_reason: str = ""
    """Why the model stopped, as OpenAI says it; empty where it does not say."""


class GatewayModel:
    """Asks the gateway for one attempt, and keeps what makes its requests lossless."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, key: SecretStr | None, route: str, *, patience: float = 60.0
    ) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._key = key
        self.route = route
        self._patience = patience
        self._sent: list[dict[str, Any]] = []
        self._base = ""

    def resume(self, steps: Sequence[Step]) -> None:
        """Go on after steps of another attempt: the record of the requests is theirs, and then ours, without a gap."""
        calls = [step.model_call for step in steps if step.model_call]
        self._sent = []
        for call in calls:
            self._sent = request_messages(self._sent, call)
        self._base = next((call.base for call in reversed(calls) if call.base), "")

    async def ask(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], *, timeout: float) -> Completion:  # noqa: ASYNC109 - of the model, a result
        """Send the whole conversation.

        Args:
            messages: OpenAI's format. Where they do not go on from the last request's, the record says so (`whole`).
            tools: OpenAI's function format; none are not mentioned, for providers refuse an empty list.
            timeout: seconds on the agent's clock that one answer may take.

        Raises:
            ContextFull: the model cannot take so much.
            LimitReached: the attempt's own money or the time is used up.
            AgentFailed: the answer is more JSON than can be read.
            OutOfMoney: a budget that it shares is used up.
            InfraFailure: the gateway, or the provider behind it, does not answer properly.
        """
        base: dict[str, Any] = {"model": self.route, **({"tools": tools} if tools else {})}
        with span(
            f"chat {self.route}", attributes={genai.OPERATION: genai.CHAT, genai.REQUEST_MODEL: self.route}
        ) as opened:
            request = json.dumps({**base, "messages": messages}, ensure_ascii=False, separators=(",", ":"))
            response, timing = await self.send(COMPLETIONS, request.encode(), timeout=timeout)
            body = await _parsed(response.content)
            usage = usage_from(response.headers, body)
            opened.set_attribute(genai.INPUT_TOKENS, usage.input_tokens)
            opened.set_attribute(genai.OUTPUT_TOKENS, usage.output_tokens)
        call = self._call(base, messages, response, str(body.get("model", "")))
        message = as_object(first_choice(body).get("message"))
        return Completion(message, usage, timing, call, WIRES["openai"].finish_reason(body))

    def _call(
        self, base: dict[str, Any], messages: list[dict[str, Any]], response: httpx.Response, model: str
    ) -> ModelCall:
        text = json.dumps(base, ensure_ascii=False, sort_keys=True)
        grown = messages[: len(self._sent)] == self._sent
        new = messages[len(self._sent) :] if grown else messages
        self._sent = list(messages)
        changed, self._base = text != self._base, text
        call_id = response.headers.get("x-synthbench-call-id")
        return ModelCall(
            call_id=UUID(call_id) if call_id else None,
            model=model or self.route,
            provider=response.headers.get("x-synthbench-provider", ""),
            base=text if changed else "",
            messages=json.dumps(new, ensure_ascii=False),
            response=response.text,
            sampling=response.headers.get("x-synthbench-sampling", ""),
            whole=not grown,
        )

    async def send(
        self,
        path: str,
        body: bytes,
        *,
        timeout: float,  # noqa: ASYNC109 - as above
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        refusals: bool = False,
    ) -> tuple[httpx.Response, Timing]:
        """Send a request as it is, again and again while the gateway is away.

        Args:
            path: of the wire, with `/v1`.
            body: JSON.
            timeout: seconds on the agent's clock.
            headers: beside ours.
            stream: return while the answer is still to be read; the caller closes it.
            refusals: return those that are due to the request itself.

        Returns:
            The response, and where the time went until it was there.

        Raises:
            LimitReached, OutOfMoney, InfraFailure: as `ask`.
        """
        ours = {
            **(headers or {}),
            **current_trace(),
            "content-type": "application/json",
            "authorization": f"Bearer {self._key.get_secret_value() if self._key else ''}",
            _DEADLINE: f"{timeout:.3f}",
        }
        # The gateway keeps the deadline; if it does not even refuse in time, that is our failure.
        limits = httpx.Timeout(timeout + _GRACE_SECONDS, connect=_CONNECT_SECONDS)
        began, pause, failure = monotonic(), _PAUSE_SECONDS, InfraFailure()
        tries = itertools.count()
        while True:
            sent = monotonic()
            ours[_ASKED_BEFORE] = str(next(tries))
            request = self._client.build_request("POST", self._url + path, content=body, headers=ours, timeout=limits)
            try:
                response = await self._client.send(request, stream=stream)
                if not response.is_success:
                    await response.aread()
            except httpx.HTTPError as error:
                failure = InfraFailure(f"the llm-gateway does not answer: {str(error) or type(error).__name__}")
            else:
                seconds, waited = monotonic() - sent, waited_seconds(response.headers)
                if response.is_success or (refusals and response.status_code in _OF_THE_REQUEST):
                    model_seconds = max(0.0, seconds - waited)
                    return response, Timing(model_seconds=model_seconds, waited_seconds=sent - began + waited)
                if response.status_code == _TIMED_OUT and seconds - waited >= timeout * _MOST:
                    raise LimitReached(Outcome.TIME_LIMIT, f"the model did not answer within {timeout:.0f} s")
                failure = _may_pass(response)
                pause = max(pause, min(_retry_after(response.headers), self._patience - (monotonic() - began)))
            if monotonic() - began + pause > self._patience + _SAME:
                raise failure
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)


async def _parsed(data: bytes) -> dict[str, Any]:
    """Parse an answer, which is counted first, a piece at a time.

    Raises:
        AgentFailed: it is more than is parsed.
    """
    meter = JsonMeter(_ANSWER_JSON)
    try:
        for start in range(0, len(data), _PIECE):
            meter.feed(data[start : start + _PIECE])
            await asyncio.sleep(0)
    except TooMuchJson as error:
        raise AgentFailed(f"the model's answer cannot be read: {error}") from error
    return parse_object(data)


def _may_pass(response: httpx.Response) -> InfraFailure:
    """Say what a refusal means: an ending, a failure at once, or (by returning) what it is if it does not pass."""
    details = as_object(parse_object(response.text).get("error"))
    code, message = str(details.get("code") or ""), str(details.get("message") or response.text[:200])
    if code == _COST_LIMIT:
        raise LimitReached(Outcome.COST_LIMIT, message)
    if code == _CONTEXT_FULL:
        raise ContextFull(message)
    if code == _NO_MONEY:
        raise OutOfMoney(message)
    if code == _MONEY_TIED_UP:
        return OutOfMoney(message)
    if code in _OF_THE_DEPLOYMENT:
        raise PermanentFailure(message, "submission")
    if response.status_code in _OF_THE_REQUEST:
        raise PermanentFailure(message, "rollout")
    if response.status_code not in _RETRIED or code == _GARBAGE:
        raise InfraFailure(f"the llm-gateway refused ({code or response.status_code}): {message}")
    return InfraFailure(f"the llm-gateway answered {response.status_code} ({code}): {message}")


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds after which the gateway wants to be asked again; 0 where it does not say."""
    given = headers.get("retry-after", "")
    return float(given) if given.isdecimal() else 0.0


def waited_seconds(headers: Mapping[str, str]) -> float:
    """Seconds of a call that were the gateway's own waits: rate limits and pauses between tries."""
    try:
        return max(0.0, float(headers.get("x-synthbench-waited-seconds", "0")))
    except ValueError:
        return 0.0


def cost_of(headers: Mapping[str, str]) -> tuple[int, bool]:
    """Return the cost of a model call in millionths of a US dollar, and whether it is known."""
    known = headers.get("x-synthbench-cost-known", "true") == "true"
    return int(headers.get("x-synthbench-cost-microusd", "0")), known


def usage_from(headers: Mapping[str, str], body: Mapping[str, Any]) -> Usage:
    """Read the usage of a model call: tokens from the body, cost from the gateway's headers."""
    cost, known = cost_of(headers)
    usage = WIRES["openai"].usage(body) or Usage(calls=1)
    return usage.model_copy(update={"cost_microusd": cost, "cost_known": known})
