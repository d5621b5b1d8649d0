"""Passes an agent's model calls on, one after the other, and records the step before the next one goes out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from time import monotonic

import httpx
from starlette.types import Receive, Scope, Send

from synthbench.chassis import genai
from synthbench.chassis.telemetry import span
from synthbench.contracts.json_limits import JsonLimits
from synthbench.executor.adapters.model import cost_of
from synthbench.executor.capture.agent_requests import AgentModelRequest, read_agent_request
from synthbench.executor.capture.exchange import ModelExchange
from synthbench.executor.capture.http import AgentHttp
from synthbench.executor.capture.streams import PassedStream
from synthbench.executor.domain.endings import AgentFailed, LimitReached
from synthbench.executor.scaffold import World
from synthbench.wire.agent_request import AgentRequest
from synthbench.wire.refusal import Refusal
from synthbench.wire.wires import PATHS, WIRES

_FILE_MOST = 64 * 1024 * 1024
_FILE_JSON = JsonLimits(marks=2_000_000)
_COUNT_MOST, _NO_JSON = 1000, JsonLimits(0, 0)
_STEP = "synthbench.step.index"

Native = Callable[[], Awaitable[str]]
"""AgentRequest for what the agent itself wrote down of the turn that is over: JSON as text."""


class ModelCallProxy:
    """An ASGI application for one attempt.

    Args:
        world: what the attempt has.
        native: see `Native`.
        max_output: bytes that the agent may print.
    """

    def __init__(self, world: World, native: Native | None = None, *, max_output: int) -> None:
        self._world = world
        self._native = native
        self._max_output = max_output
        self._turn = asyncio.Lock()
        self._pending: ModelExchange | None = None
        self._asked: AgentRequest | None = None
        self._own = 0.0
        self._since: float | None = None
        self._gone = False
        self.stopped: BaseException | None = None
        """Why nothing is passed on any more; it becomes the attempt's end."""
        self.over = asyncio.Event()
        """Set with it."""
        self.calls = 0
        """Requests that went to the gateway."""
        self.began = False
        """The agent was started."""
        self.active = monotonic()
        """When the agent last printed, or had an answer."""
        self.overflow = ""
        """What the gateway said, if the last call was too long for the model."""
        self.wanted: set[str] = set()
        """Files of the agent's folder that are asked for; nothing else is taken, however often it is sent."""
        self.files: dict[str, bytes] = {}
        """What was sent of them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the agent."""
        exchange = AgentHttp(receive, send)
        path: str = scope["path"]
        try:
            await self._served(scope, path, exchange)
        except Refusal as refusal:
            await exchange.refuse(PATHS.get(path, WIRES["openai"]), refusal)

    async def _served(self, scope: Scope, path: str, exchange: AgentHttp) -> None:
        if path in PATHS and scope["method"] == "POST":
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            await self._call(path, headers, exchange)
        elif path == "/v1/models":
            model = {"id": self._world.model.route, "object": "model", "type": "model", "created": 0}
            await exchange.answer(200, json.dumps({"object": "list", "data": [model], "has_more": False}).encode())
        elif path == "/agent/printed":
            count = await exchange.body(_COUNT_MOST, _NO_JSON)
            self._heard(int(count) if count.isdigit() else 0)
            await exchange.answer(204, b"")
        elif (name := path.removeprefix("/agent/files/")) in self.wanted:
            self.wanted.discard(name)
            self.files[name] = await exchange.body(_FILE_MOST, _FILE_JSON)
            await exchange.answer(204, b"")
        else:
            raise Refusal(404, "not_found", f"there are {', '.join(PATHS)} and /v1/models")

    def start(self) -> None:
        """The agent's own time begins."""
        self._since = monotonic()

    def stop(self, reason: BaseException) -> None:
        """Pass nothing on any more; the first reason counts."""
        if self.stopped is None:
            self.stopped = reason
        self.over.set()

    @property
    def idle_seconds(self) -> float:
        """Seconds for which the agent has neither called nor printed; 0 while it waits for us."""
        return monotonic() - self.active if self._since is not None else 0.0

    @property
    def spent(self) -> float:
        """Seconds on the agent's clock, what is not recorded yet included."""
        model = self._pending.timing.model_seconds if self._pending else 0.0
        running = monotonic() - self._since if self._since is not None else 0.0
        return self._world.clock.spent + model + self._own + running

    async def settle(self) -> None:
        """The agent is gone: wait for what is on its way, and record the last step.

        Raises:
            InfraFailure: the step could not be recorded.
        """
        self._gone = True
        async with self._turn:
            self._pause()
            await self._record(None)

    def _heard(self, printed: int) -> None:
        self.began = True
        self.active = monotonic()
        if printed > self._max_output:
            self.stop(AgentFailed(f"the agent printed more than {self._max_output} bytes"))

    def _pause(self) -> None:
        if self._since is not None:
            self._own += monotonic() - self._since
            self._since = None

    async def _call(self, path: str, headers: Mapping[str, str], http: AgentHttp) -> None:
        async with self._turn:
            model_request = await read_agent_request(http, path, headers, self._world.model.route)
            self._pause()
            try:
                await self._answered(model_request, http)
            except Exception as error:  # noqa: BLE001 - it ends the attempt, whatever it is
                self.stop(error)
            finally:
                self.active = self._since = monotonic()
            if not http.started:
                code = str(self.stopped.outcome) if isinstance(self.stopped, LimitReached) else "attempt_over"
                raise Refusal(403, code, str(self.stopped or "the attempt is over"))

    async def _answered(self, model_request: AgentModelRequest, http: AgentHttp) -> None:
        if self.stopped is not None or self._gone:
            return
        await self._record(model_request.request)
        world = self._world
        world.clock.check()
        route = world.model.route
        attributes = {genai.OPERATION: genai.CHAT, genai.REQUEST_MODEL: route, _STEP: world.clock.steps}
        with span(f"chat {route}", attributes=attributes):
            exchange = await self._exchanged(model_request, http)
        self._pending, self._asked = exchange, model_request.request

    async def _exchanged(self, model_request: AgentModelRequest, http: AgentHttp) -> ModelExchange:
        """Ask the gateway, and give the agent what it says."""
        world, request = self._world, model_request.request
        started, timeout = datetime.now(UTC), max(0.1, world.clock.limits.max_seconds - self.spent)
        self.calls += 1
        response, timing = await world.model.send(
            request.wire.path,
            model_request.body,
            timeout=timeout,
            headers=model_request.headers,
            stream=request.stream,
            refusals=True,
        )
        refused = not response.is_success
        if request.stream and not refused:
            began = monotonic()
            passing = await _passed_on(request, response, http, timeout)
            timing = timing.model_copy(update={"model_seconds": timing.model_seconds + monotonic() - began})
            raw, cost, whole, readable = bytes(passing.raw), passing.cost, passing.whole, passing.readable
        else:
            raw, cost, whole, readable = response.content, cost_of(response.headers), True, True
            await http.answer(response.status_code, raw, response.headers.get("content-type", "application/json"))
        return ModelExchange(
            request,
            self._asked,
            started,
            raw,
            response.headers,
            timing,
            cost,
            refused=refused,
            broken=not whole,
            readable=readable,
        )

    async def _record(self, following: AgentRequest | None) -> None:
        """Record the turn before as a step; it is safe when this returns."""
        if self._pending is None:
            return
        pending, own = self._pending, self._own
        self._pending, self._own = None, 0.0
        self.overflow = pending.overflow
        native = await self._native() if self._native else ""
        # What an agent and its model say can be large: it is compared and put together beside the loop.
        turn = await asyncio.to_thread(pending.turn, following, own, self._world.sandbox.workdir, native)
        await self._world.recorder.record(turn)


async def _passed_on(request: AgentRequest, response: httpx.Response, http: AgentHttp, seconds: float) -> PassedStream:
    """Pass a stream on to its end, or to where it breaks off."""
    passing = PassedStream(request)
    await http.start(response.headers.get("content-type", "text/event-stream"))
    try:
        async with asyncio.timeout(seconds):
            async for piece in response.aiter_bytes():
                await http.write(passing.feed(piece))
    except (TimeoutError, httpx.HTTPError, ValueError):
        passing.whole = False
    finally:
        await response.aclose()
    await http.end()
    return passing
