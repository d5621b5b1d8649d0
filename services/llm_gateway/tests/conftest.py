"""A real gateway over real sockets, before a strict upstream, on a real Postgres and NATS."""

import json
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import anthropic
import httpx
import jwt
import openai
import pytest
from pydantic import SecretStr

from gateway_replicas import Group, start_replica, until_ready
from model_upstream import KEY, Upstream, two_wires
from synthbench.contracts.attempt_key import ALGORITHM, AUDIENCE, PROBE_AUDIENCE, AttemptClaims, ProbeClaims
from synthbench.contracts.registry import Service
from synthbench.llm_gateway.bootstrap import bootstrap
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.database import Database

HELLO = [{"role": "user", "content": "Does it rain?"}]
SECRET = SecretStr("a-secret-of-at-least-thirty-two-bytes")


@pytest.fixture
def upstream(background) -> Generator[Upstream]:
    """In a thread of its own, so that it also answers while a test waits."""
    server = Upstream()
    background.run(server.start())
    yield server
    background.run(server.stop())


def make_claims(route: str, **changes: Any) -> AttemptClaims:
    given: dict[str, Any] = {
        "submission_id": uuid4(), "campaign": "c", "rollout_id": uuid4(), "attempt": 1, "route": route,
        "task_digest": "sha256:" + "0" * 64, "max_cost_microusd": 10**9, "submission_cost_microusd": 10**9,
    }  # fmt: skip
    return AttemptClaims(**(given | changes))


@pytest.fixture
def claims() -> AttemptClaims:
    """Of some attempt."""
    return make_claims("chat/small")


def sign(claims: AttemptClaims) -> str:
    now = datetime.now(UTC)
    payload = {**claims.to_dict(), "aud": AUDIENCE, "iat": now, "exp": now + timedelta(hours=1)}
    return jwt.encode(payload, SECRET.get_secret_value(), ALGORITHM)


def sign_key(route: str, **changes: Any) -> str:
    return sign(make_claims(route, **changes))


def code_of(error: openai.APIError | anthropic.APIError) -> str:
    """Our own code, which either wire carries in its own place."""
    body: Any = error.body or {}
    return str(body.get("code") or body.get("error", {}).get("code"))


def _text(blocks: list[Any]) -> str:
    return "".join(block.text for block in blocks if block.type == "text")


@dataclass
class Running:
    """A gateway and what one asks it with."""

    url: str
    database: Database
    models_file: Path
    clients: list[Any] = field(default_factory=list)

    def key(self, route: str, **changes: Any) -> str:
        return sign_key(route, **changes)

    def probe_key(self, route: str, *, allow: bool = False) -> str:
        """As the scheduler signs it."""
        now = datetime.now(UTC)
        claims = ProbeClaims(route=route, allow_unknown_price=allow)
        payload = {**claims.to_dict(), "aud": PROBE_AUDIENCE, "iat": now, "exp": now + timedelta(minutes=1)}
        return jwt.encode(payload, SECRET.get_secret_value(), ALGORITHM)

    def openai(self, route: str, key: str | None = None) -> openai.AsyncOpenAI:
        client = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key or self.key(route), max_retries=0)
        self.clients.append(client)
        return client

    def anthropic(self, route: str, key: str | None = None) -> anthropic.AsyncAnthropic:
        client = anthropic.AsyncAnthropic(base_url=self.url, api_key=key or self.key(route), max_retries=0)
        self.clients.append(client)
        return client

    async def call(self, wire: str, route: str, *, stream: bool = False, **more: Any) -> str:
        """Ask once by the wire's official SDK, and return the text of the answer.

        Args:
            wire: openai or anthropic.
            route: of the key, and the model that is asked for.
            stream: whether the answer comes as one.
            more: `key`, `seconds` (the deadline) and fields of the request.

        Raises:
            openai.APIError: the SDK's own error.
            anthropic.APIError: the same.
        """
        headers = {"x-synthbench-deadline-seconds": str(more.pop("seconds", 20))}
        client: Any = (self.openai if wire == "openai" else self.anthropic)(route, more.pop("key", None))
        given = {"model": route, "messages": HELLO, "extra_headers": headers, **more}
        if wire == "anthropic":
            given.setdefault("max_tokens", 9)
            if not stream:
                return _text((await client.messages.create(**given)).content)
            async with client.messages.stream(**given) as events:
                return _text((await events.get_final_message()).content)
        if not stream:
            return (await client.chat.completions.create(**given)).choices[0].message.content
        chunks = [chunk async for chunk in await client.chat.completions.create(**given, stream=True)]
        choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
        assert choices[-1].finish_reason
        return "".join(choice.delta.content or "" for choice in choices)

    async def ask(self, wire: str, route: str, **more: Any) -> str:
        """The same, but return `ok`, or the code of the error that the SDK raised."""
        try:
            assert await self.call(wire, route, **more)
        except (openai.APIError, anthropic.APIError) as error:
            return code_of(error)
        return "ok"

    def http(self, route: str = "sim/quitter", **changes: Any) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.key(route, **changes)}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30)

    async def calls(self) -> list[dict[str, Any]]:
        """What the ledger announces, oldest first."""
        async with self.database.connection() as connection:
            found = await connection.execute("select payload from outbox order by seq")
            rows = await found.fetchall()
        return [json.loads(row["payload"]) for row in rows]


@pytest.fixture
def start_gateway(make_chassis, migrated, tmp_path) -> Callable[..., AbstractAsyncContextManager[Running]]:
    """Start a gateway with the text of a models.toml and more settings."""

    @asynccontextmanager
    async def start(models: str = "", **settings: Any) -> AsyncGenerator[Running]:
        path = tmp_path / "models.toml"
        path.write_text(models)
        dsn = migrated("ledger", "synthbench.llm_gateway")
        database = Database(dsn, "ledger")
        await database.open()
        values = {"postgres_dsn": dsn, "attempt_key_secret": SECRET, "models_file": path, **settings}
        async with make_chassis(Service.LLM_GATEWAY, GatewaySettings, **values) as chassis:
            await bootstrap(chassis)
            running = Running(f"http://127.0.0.1:{chassis.health.port}", database, path)
            try:
                yield running
            finally:
                for client in running.clients:
                    await client.close()
        await database.close()

    return start


@pytest.fixture
async def gateway(start_gateway, upstream, monkeypatch) -> AsyncGenerator[Running]:
    """One gateway with a provider on each wire."""
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with start_gateway(two_wires(upstream.url)) as running:
        yield running


@pytest.fixture
def start_replicas(make_chassis, migrated, nats_server, tmp_path) -> Callable[..., AbstractAsyncContextManager[Group]]:
    """Start so many gateways, each a process, with the text of a models.toml and more settings."""

    @asynccontextmanager
    async def start(count: int, models: str, python: Path | None = None, **settings: str) -> AsyncGenerator[Group]:
        path = tmp_path / "models.toml"
        path.write_text(models)
        dsn = migrated("ledger", "synthbench.llm_gateway")
        environment = {
            "SYNTHBENCH_NATS_URL": nats_server.url, "SYNTHBENCH_POSTGRES_DSN": dsn.get_secret_value(),
            "SYNTHBENCH_ARTIFACTS_URL": f"file://{tmp_path / 'artifacts'}", "UPSTREAM_KEY": KEY,
            "SYNTHBENCH_ATTEMPT_KEY_SECRET": SECRET.get_secret_value(), "SYNTHBENCH_MODELS_FILE": str(path),
            **{f"SYNTHBENCH_{name.upper()}": value for name, value in settings.items()},
        }  # fmt: skip
        database = Database(dsn, "ledger")
        await database.open()
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
        async with (
            make_chassis(Service.SCHEDULER) as scheduler,
            httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client,
        ):
            started = [await start_replica(tmp_path, number, environment, python) for number in range(count)]
            try:
                for replica in started:
                    await until_ready(replica, client)
                yield Group(started, database, client, scheduler.bus, sign_key)
            finally:
                for replica in started:
                    await replica.stop()
        await database.close()

    return start
