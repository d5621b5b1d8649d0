"""The work that a stack still has to do before it may end: open submissions, unhandled events, full outboxes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from synthbench.contracts.registry import Service, declared_pools, durables
from synthbench.embedded.layout import Layout
from synthbench.embedded.loopback import loopback_http

_REQUEST_SECONDS = 3.0
_BACKLOG = "synthbench_outbox_backlog "


@asynccontextmanager
async def operator_jetstream(nats_url: str, password: str) -> AsyncGenerator[JetStreamContext]:
    """Connect to the bus of an embedded stack as its operator."""
    connection = await nats.connect(  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
        nats_url, user=Service.TOPOLOGY, password=password, name="supervisor", error_cb=_ignore_error
    )
    try:
        yield connection.jetstream(timeout=_REQUEST_SECONDS)  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
    finally:
        await connection.close()


class UnfinishedWork:
    """Asks the scheduler, the outboxes and the consumers of one stack."""

    def __init__(self, layout: Layout, js: JetStreamContext, http: httpx.AsyncClient) -> None:
        self._layout = layout
        self._js = js
        self._http = http

    @classmethod
    @asynccontextmanager
    async def connected(cls, layout: Layout) -> "AsyncGenerator[UnfinishedWork]":
        """Connect to the bus and the services of a stack as its operator."""
        password = layout.password(Service.TOPOLOGY).get_secret_value()
        headers = {"authorization": f"Bearer {layout.data.secret('api-token')}"}
        async with (
            operator_jetstream(layout.nats_url, password) as js,
            loopback_http(_REQUEST_SECONDS, headers) as http,
        ):
            yield cls(layout, js, http)

    async def describe(self) -> str:
        """Return in a few words what work there is; empty if none."""
        try:
            return await self._submissions() or await self._events() or await self._outboxes()
        except (httpx.HTTPError, NatsError, JetStreamError, TimeoutError, OSError) as error:
            return f"no answer yet: {type(error).__name__}"

    async def _submissions(self) -> str:
        response = await self._http.get(
            f"{self._layout.url(Service.SCHEDULER)}/v1/submissions",
            params={"state": "open", "movable": True, "limit": 1},
        )
        response.raise_for_status()
        return "submissions are open" if response.json()["submissions"] else ""

    async def _outboxes(self) -> str:
        for one in self._layout.ports:
            text = (await self._http.get(f"{self._layout.url(one.service, one.number)}/metrics")).text
            backlog = [line for line in text.splitlines() if line.startswith(_BACKLOG)]
            if backlog and float(backlog[0].removeprefix(_BACKLOG)) > 0:
                return f"the outbox of {one} is not empty"
        return ""

    async def _events(self) -> str:
        for durable in durables(self._layout.clients, declared_pools(self._layout.pools)):
            info = await self._js.consumer_info(str(durable.stream), durable.name)
            if (info.num_pending or 0) + (info.num_ack_pending or 0) > 0:
                return f"{durable.name} has events to handle"
        return ""


async def _ignore_error(_error: Exception) -> None:
    """Ignore an error that comes as an exception, too."""
