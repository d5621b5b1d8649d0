"""The bus: NATS with JetStream. Every publish names its stream and waits for the ack; nothing vanishes."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import APIError
from nats.js.errors import Error as JetStreamError
from pydantic import SecretStr, ValidationError
from structlog.stdlib import BoundLogger

from synthbench.chassis import metrics
from synthbench.chassis.connection import ConnectionWatcher, Reconnected
from synthbench.chassis.errors import BusUnavailable, RequestRefused, one_line
from synthbench.chassis.redaction import redacted
from synthbench.chassis.telemetry import current_trace, span
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import CLAIM_CHECK_BYTES, Envelope, Message
from synthbench.contracts.loose import as_list, parse_object
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef, FieldError
from synthbench.contracts.registry import Service, Stream

R = TypeVar("R", bound=Record)
Q = TypeVar("Q", bound=Record)

_TRY_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
_ERROR_HEADER = "synthbench-error"


class PayloadStore(Protocol):
    """Stores payloads over 256 KiB; the artifact store is one."""

    async def put(self, data: bytes, *, media_type: str = ...) -> ArtifactRef:
        """Store a body."""
        ...

    async def get(self, uri: str) -> bytes:
        """Read it back."""
        ...


def instance_name(service: str) -> str:
    """Name of this process among its replicas."""
    return f"{service}-{socket.gethostname()}-{os.getpid()}"


class Bus:
    """A connection to the bus as one service."""

    def __init__(
        self, service: Service, connection: Client, log: BoundLogger, watcher: ConnectionWatcher | None = None
    ) -> None:
        self.service = service
        self.source = f"synth-bench/{service}"
        self.nc = connection
        self.js: JetStreamContext = connection.jetstream(timeout=_TRY_SECONDS)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves its options untyped
        self._log = log
        self._watcher = watcher or ConnectionWatcher(log)
        self._closing = False
        self._payloads: PayloadStore | None = None
        self._requests: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(
        cls, service: Service, url: str, user: str, password: SecretStr, log: BoundLogger, *, patience: float = 30.0
    ) -> "Bus":
        """Connect; a server that is not there yet is waited for.

        Raises:
            BusUnavailable: nothing answered within `patience` seconds, or it refused the user.
        """
        watcher = ConnectionWatcher(log)
        client = Client()
        options: dict[str, Any] = {
            "user": user or None, "password": password.get_secret_value() or None,
            "name": instance_name(service), "inbox_prefix": f"_INBOX.{service}".encode(),
            "max_reconnect_attempts": -1, "reconnect_time_wait": 0.2, "connect_timeout": 3,
            "drain_timeout": 5, "ping_interval": 20, **watcher.callbacks,
        }  # fmt: skip
        # With endless reconnects the client tries for ever, refusals included: who waits has to look at the clock.
        connecting = asyncio.create_task(client.connect(url, **options))
        refusal = asyncio.create_task(watcher.refused.wait())
        try:
            await asyncio.wait({connecting, refusal}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and not connecting.exception():
                return cls(service, client, log, watcher)
            reason = connecting.exception() if connecting.done() else client.last_error or "nothing answers"
            mend = "start it, or set SYNTHBENCH_NATS_URL"
            if watcher.refused.is_set():
                reason, mend = f"it refuses user {user!r}", "set SYNTHBENCH_NATS_USER and SYNTHBENCH_NATS_PASSWORD"
            raise BusUnavailable(f"no bus at {redacted(url)}: {reason}; {mend}")
        finally:
            if not connecting.done() or connecting.exception():
                connecting.cancel()
                await client.close()
            refusal.cancel()

    def on_reconnected(self, callback: "Reconnected") -> None:
        """Have it called after each reconnect with the moment at which the connection was lost.

        The server acknowledges before it syncs to disk: what it acknowledged shortly before it died may be gone.
        """
        self._watcher.reconnected.append(callback)

    async def ping(self) -> None:
        """Check the connection, for readiness.

        Raises:
            BusUnavailable: the connection is down at this moment.
        """
        if not self.nc.is_connected:
            raise BusUnavailable("not connected to NATS; trying again")

    async def watch(self) -> None:
        """Wait until the connection is closed for good by the server, which ends a process that cannot work.

        Raises:
            BusUnavailable: it was closed, and not by us.
        """
        await self._watcher.closed.wait()
        if not self._closing:
            raise BusUnavailable(f"NATS closed the connection for good: {self.nc.last_error or 'no reason given'}")

    def use_payload_store(self, store: PayloadStore) -> None:
        """Let payloads over 256 KiB go through this store."""
        self._payloads = store

    @property
    def stores_payloads(self) -> bool:
        """Whether there is such a store."""
        return self._payloads is not None

    async def publish(
        self,
        body: Record,
        *,
        id: UUID | None = None,  # noqa: A002 - the event's id
        trace: Mapping[str, str] | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109 - the deadline covers several tries
    ) -> UUID:
        """Publish an event and wait until the stream has stored it; return its id.

        Publishing twice with the same id stores it once within the stream's dedup window.

        Raises:
            BusUnavailable: not stored within `timeout` seconds.
        """
        context = current_trace() if trace is None else dict(trace)
        envelope = (
            Envelope(body, self.source, trace=context) if id is None else Envelope(body, self.source, id, trace=context)
        )
        await self.publish_encoded(envelope, cloudevents.encode(envelope), timeout=timeout)
        return envelope.id

    async def publish_encoded(
        self,
        envelope: Envelope,
        message: Message,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - as above
    ) -> None:
        """Publish an event that was encoded already, and wait until the stream has stored it.

        Args:
            envelope: the event.
            message: the same, encoded; a payload over the limit goes through the claim check.
            timeout: seconds for all tries together.

        Raises:
            BusUnavailable: not stored within `timeout` seconds.
        """
        checked = await self.checked(message)
        await self.publish_message(checked, msg_id=str(envelope.id), stream=envelope.stream, timeout=timeout)
        metrics.PUBLISHED.labels(envelope.spec.name).inc()

    async def checked(self, message: Message, limit: int = CLAIM_CHECK_BYTES) -> Message:
        """Apply the claim check: a payload of more bytes goes to the artifact store, its reference stays."""
        if len(message.payload) <= limit:
            return message
        if self._payloads is None:
            raise ValueError(f"{message.subject}: {len(message.payload)} bytes, and no store for large payloads is set")
        reference = await self._payloads.put(message.payload, media_type="application/json")
        return cloudevents.with_reference(message, reference)

    async def publish_message(
        self,
        message: Message,
        *,
        msg_id: str,
        stream: Stream | str,
        timeout: float = 10.0,  # noqa: ASYNC109 - as above
    ) -> None:
        """Store an encoded message in its stream, trying again with the same id until `timeout`.

        Raises:
            BusUnavailable: the stream is full, or nothing answers.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        headers = {**message.headers, "Nats-Msg-Id": msg_id}
        stalled = False
        while True:
            try:
                await self.js.publish(
                    message.subject, message.payload, timeout=min(_TRY_SECONDS, max(0.1, deadline - loop.time())),
                    stream=str(stream), headers=headers,
                )  # fmt: skip
            except (NatsError, JetStreamError, TimeoutError, OSError) as error:
                metrics.PUBLISH_STALLED.labels(str(stream)).inc()
                if not stalled:
                    self._log.warning("publish stalled", stream=str(stream), error=_reason(error))
                stalled = True
                if loop.time() + _PAUSE_SECONDS > deadline:
                    raise BusUnavailable(f"{message.subject} not stored in {stream}: {_reason(error)}") from error
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def read_payload(self, headers: Mapping[str, str], payload: bytes) -> bytes:
        """Return the payload itself, fetched from the artifact store if the message only refers to it.

        Raises:
            MalformedEvent: the reference is broken.
        """
        reference = cloudevents.reference_of(headers, payload)
        if reference is None:
            return payload
        if self._payloads is None:
            raise ValueError("a message refers to a stored payload, and no payload store is set")
        return await self._payloads.get(reference.uri)

    async def request(
        self,
        subject: str,
        body: Record,
        reply: type[R],
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - as above
    ) -> R:
        """Ask over core NATS, and wait for the answer; nobody listening yet is waited for, too.

        Raises:
            BusUnavailable: no answer within `timeout` seconds.
            RequestRefused: the other side says no, or answers nonsense.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            remaining = max(0.1, deadline - loop.time())
            try:
                message = await self.nc.request(
                    subject, body.to_json(), timeout=remaining, headers=current_trace() or None
                )
                break
            except NoRespondersError as error:
                if loop.time() + _PAUSE_SECONDS > deadline:
                    raise BusUnavailable(f"nobody answers {subject}") from error
                await asyncio.sleep(_PAUSE_SECONDS)
            except (NatsError, TimeoutError, OSError) as error:
                raise BusUnavailable(f"{subject}: {_reason(error)}") from error
        if message.headers and _ERROR_HEADER in message.headers:
            raise RequestRefused(message.headers[_ERROR_HEADER], _refused_fields(message.data))
        try:
            return reply.model_validate_json(message.data)
        except ValidationError as error:
            raise RequestRefused(f"{subject} answered what is no {reply.__name__}") from error

    async def respond(self, subject: str, request: type[Q], handler: Callable[[Q], Awaitable[Record]]) -> None:
        """Answer requests on `subject`, shared with the other replicas of this service."""

        async def answer(message: Msg) -> None:
            headers = cloudevents.lowered(message.headers)
            try:
                with span(f"answer {subject}", parent=headers if "traceparent" in headers else None):
                    body = await handler(request.model_validate_json(message.data))
                await message.respond(body.to_json())
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
                refusal = _refusal(error)
                self._log.warning("request refused", subject=subject, error=refusal["error"])
                headers = {_ERROR_HEADER: redacted(str(refusal["error"]))}
                await self.nc.publish(message.reply, json.dumps(refusal).encode(), headers=headers)

        async def on_message(message: Msg) -> None:
            task = asyncio.create_task(answer(message))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)

        await self.nc.subscribe(subject, queue=str(self.service), cb=on_message)  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete

    async def close(self) -> None:
        """Let running answers finish, flush and disconnect."""
        self._closing = True
        if self._requests:
            await asyncio.wait(self._requests, timeout=2)
        try:
            await asyncio.wait_for(self.nc.drain(), 6)
        except (NatsError, TimeoutError, OSError) as error:
            self._log.warning("bus did not drain", error=_reason(error))
            with contextlib.suppress(NatsError, OSError):  # the server is gone, there is nothing to say goodbye to
                await self.nc.close()


def _refusal(error: Exception) -> dict[str, Any]:
    """Return the body of a refusal: `{"error": …, "fields": […]}`, one line and, of a malformed request, each field."""
    if not isinstance(error, ValidationError):
        return {"error": one_line(error), "fields": []}
    fields = cloudevents.field_errors(error)
    line = "; ".join(f"{item.field}: {item.message}" if item.field else item.message for item in fields)
    return {"error": f"malformed request: {line}", "fields": [item.to_dict() for item in fields]}


def _refused_fields(payload: bytes) -> list[FieldError]:
    """Read back what `_refusal` wrote; an answer that is none of ours has no fields."""
    return [FieldError.model_validate(item) for item in as_list(parse_object(payload).get("fields"))]


def _reason(error: Exception) -> str:
    if isinstance(error, APIError) and error.description:
        return error.description
    return str(error) or type(error).__name__
