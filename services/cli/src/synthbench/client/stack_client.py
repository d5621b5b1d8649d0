"""A client of a stack: submits over the bus, follows events, reads the services' HTTP APIs."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from synthbench.client.bus import connect_bus
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.client.progress import FOLLOWED, Progress
from synthbench.client.services_api import REQUEST_SECONDS, ServicesApi, open_http
from synthbench.client.waiting import Say, say_nothing
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import CancelRequested, TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.registry import Service
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.artifacts import ArtifactStore, open_store
from synthbench.storage.trajectories import read_trajectory

Listener = Callable[[Envelope], None]

_POLL_SECONDS = 1.0
_PAGE = 500
_AMBIGUOUS = 4
"""So many trajectories are named where several ids begin alike."""
_SILENCE_SECONDS = 30.0
TERMINAL = ("done", "failed", "cancelled", "rejected")
"""States of a submission in which nothing more will happen."""


def quoted(value: str) -> str:
    """A value as a filter takes it, whatever it holds."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class StackClient(ServicesApi):
    """An open connection to a stack. Make one with `connect`."""

    def __init__(
        self,
        endpoints: Endpoints,
        connection: Client,
        http: httpx.AsyncClient,
        store: ArtifactStore,
        still_there: Callable[[], None] | None = None,
        say: Say = say_nothing,
    ) -> None:
        super().__init__(endpoints, http, still_there, say)
        self.nats = connection
        self.store = store
        self._jetstream = connection.jetstream(timeout=REQUEST_SECONDS)  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete

    async def publish(self, body: Record) -> None:
        """Put an event on the bus and wait until it is stored."""
        envelope = Envelope(body, source="synth-bench/cli")
        message = cloudevents.encode(envelope)
        headers = {**message.headers, "Nats-Msg-Id": str(envelope.id)}
        try:
            await self._jetstream.publish(message.subject, message.payload, headers=headers, timeout=REQUEST_SECONDS)
        except (NatsError, APIError) as error:
            raise CliError(f"the bus did not take {envelope.spec.name}: {error}; is the stack healthy?") from error

    async def submit(self, submissions: Sequence[TaskSubmitted], listener: Listener | None = None) -> list[Progress]:
        """Submit and follow until every rollout is curated or given up; `listener` sees each event.

        A cancellation cancels what is not finished, and passes on.

        Raises:
            CliError: the stack went away.
        """
        wanted = [s if s.submission_id else s.model_copy(update={"submission_id": uuid7()}) for s in submissions]
        progress = {s.submission_id: Progress(s.submission_id) for s in wanted if s.submission_id}
        changed = asyncio.Event()

        async def on_message(message: Msg) -> None:
            envelope = await self._decode(message)
            identity: UUID | None = getattr(envelope.body, "submission_id", None) if envelope else None
            known = progress.get(identity) if identity else None
            if envelope and known and known.apply(envelope):
                if listener is not None:
                    listener(envelope)
                changed.set()

        subscriptions = [await self.nats.subscribe(subject, cb=on_message) for subject in FOLLOWED]  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
        await self.nats.flush()
        try:
            for submission in wanted:
                await self.publish(submission)
            await self._wait(list(progress.values()), changed)
        except asyncio.CancelledError:
            for one in progress.values():
                if not one.over:
                    await self.publish(CancelRequested(submission_id=one.submission_id, reason="cancelled by the user"))
            raise
        finally:
            for subscription in subscriptions:
                await subscription.unsubscribe()
        return list(progress.values())

    async def _wait(self, progress: Sequence[Progress], changed: asyncio.Event) -> None:
        """Events say most; the scheduler's API says the rest (a rollout that failed for good has no last event)."""
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while not all(one.over for one in progress):
            changed.clear()
            try:
                # Not wait_for: on Python 3.11 it swallows a cancellation that meets an event.
                async with asyncio.timeout(_POLL_SECONDS):
                    await changed.wait()
                heard = loop.time()
            except TimeoutError:
                self._still_there()
                try:
                    for one in progress:
                        if not one.over:
                            await self._ask(one)
                    heard = loop.time()
                except CliError:
                    if loop.time() - heard > _SILENCE_SECONDS:
                        raise

    async def _ask(self, progress: Progress) -> None:
        submission = await self.find(f"/v1/submissions/{progress.submission_id}", service="scheduler")
        if submission and submission["state"] == "open" and submission.get("paused"):
            progress.state, progress.detail = "paused", submission["paused"]
            return
        if submission and submission["state"] in TERMINAL:
            progress.state = submission["state"]
            without = [r for r in submission["rollouts"] if r["state"] != "curated"]
            reasons = [a.get("reason") or "" for r in without or submission["rollouts"] for a in r["attempts"]]
            progress.detail = next((reason for reason in reversed(reasons) if reason), "")

    async def _decode(self, message: Msg) -> Envelope | None:
        headers = cloudevents.lowered(message.headers)
        try:
            reference = cloudevents.reference_of(headers, message.data)
            payload = await self.store.get(reference.uri) if reference else message.data
            return cloudevents.decode(message.subject, headers, payload, sequence=lambda: 0, stream="")
        except cloudevents.MalformedEvent:
            return None

    async def trajectory(self, trajectory_id: UUID | str) -> tuple[dict[str, Any], Trajectory]:
        """Return the catalogue's entry of a trajectory, and the trajectory itself.

        Args:
            trajectory_id: an id, or a beginning of one that no other has.

        Raises:
            CliError: there is no such trajectory, or there are several.
        """
        entry = await self.entry(trajectory_id)
        return entry, await self.stored(entry)

    async def entry(self, trajectory_id: UUID | str) -> dict[str, Any]:
        """Return the catalogue's entry of a trajectory; arguments and errors as of `trajectory`."""
        beginning = str(trajectory_id)
        if not re.fullmatch(r"[0-9a-fA-F-]{1,36}", beginning):
            raise CliError(f"{beginning!r} is no id; `synth-bench trajectories list` shows what there is", exit_code=2)
        params = {"filter": f"id:{beginning}", "limit": _AMBIGUOUS}
        found = as_list(as_object(await self.find("/v1/trajectories", params=params)).get("trajectories"))
        if not found:
            raise CliError(f"no trajectory {beginning}; `synth-bench trajectories list` shows what there is")
        if len(found) > 1:
            named = ", ".join(str(one["trajectory_id"]) for one in found)
            raise CliError(f"several trajectories begin with {beginning}: {named}; write more of it")
        return found[0]

    async def stored(self, entry: Mapping[str, Any]) -> Trajectory:
        """Read the trajectory of a catalogue's entry."""
        reference = ArtifactRef.model_validate(entry["artifact"])
        return await read_trajectory(self.store, reference.uri)

    async def trajectories(self, wanted: str = "") -> AsyncGenerator[dict[str, Any]]:
        """Yield the catalogue's entries that fit a filter (docs/catalogue.md), newest first, page by page."""
        cursor: str | None = None
        while True:
            params = {"filter": wanted, "cursor": cursor, "limit": _PAGE}
            page: dict[str, Any] = await self.find("/v1/trajectories", params=params) or {}
            for entry in page.get("trajectories", []):
                yield entry
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    async def wait_settled(self, trajectory_id: UUID | str, seconds: float = 5.0) -> dict[str, Any]:
        """Return the catalogue's entry once it knows verdict and curation (it hears of them like everybody else)."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            entry = await self.find(f"/v1/trajectories/{trajectory_id}")
            if (
                entry and entry.get("verdict") and entry.get("curation")
            ) or asyncio.get_running_loop().time() > deadline:
                return entry or {}
            await asyncio.sleep(0.05)


@asynccontextmanager
async def connect(
    endpoints: Endpoints, still_there: Callable[[], None] | None = None, say: Say = say_nothing
) -> AsyncGenerator[StackClient]:
    """Open a client.

    Args:
        endpoints: where the stack is.
        still_there: raises CliError when the stack is known to have ended.
        say: takes warnings of the services, and what a long wait is for.

    Raises:
        CliError: the bus refuses, or nothing answers there.
    """
    bus = await connect_bus(endpoints, endpoints.nats_user, endpoints.nats_password, Service.CLIENT)
    try:
        async with open_http(endpoints) as http:
            yield StackClient(endpoints, bus.nc, http, open_store(endpoints.artifacts_url), still_there, say)
    finally:
        await bus.nc.close()
