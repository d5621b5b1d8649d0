"""Every route of every HTTP API, asked with values that nobody can work with: no 5xx, and each has a reason."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
import structlog
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from hypothesis import strategies as st
from pydantic import SecretStr

from fuzzing import HOSTILE_JSON, HOSTILE_NUMBER, HOSTILE_TEXT, fuzz
from synthbench.collector.api import build_api as collector_api
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.settings import CollectorSettings
from synthbench.llm_gateway.admin import admin_app
from synthbench.llm_gateway.budgets.reports import LedgerReports
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.models import Models
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.scheduler.adapters.overviews import Overviews
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.scheduler.api import build_api as scheduler_api
from synthbench.storage.api_calls import ApiCalls
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.migrations import migrate_all
from synthbench.storage.outbox import Outbox

_ID = "0196f000-0000-7000-8000-000000000000"
_TIMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "9999-12-31", "2026-01-01T00:00:00Z"]
_CURSORS = ["|", f"{_TIMES[0]}|{_ID}", f"{_TIMES[1]}|{_ID}", f"{_TIMES[4]}|{_ID}|{10**30}", f"{_TIMES[4]}|{_ID}|-1"]
_FILTERS = [
    "-" * 100, "- " * 100, '-"x" ' * 100, '"' * 100, "or " * 100, "a,-----b", "task:\0", "task:" + "*" * 400,
    "reward>1e308", "steps:99999999999999999999", "stored<0001-01-01T00:00:00+14:00", "stored:9999-12-31", "cost>1e18",
    'task:"a\\"b"', "reward:none", "-reward:none", "a & b | ! ( ) :* <->", "\ud83d\ude00 x", "x" * 1999,
]  # fmt: skip
_REBUILD = ("post", "/v1/rebuild")
_VALUES = (
    st.sampled_from([*_TIMES, *_CURSORS, *_FILTERS, _ID, "%00", "..%2f", "%ff", "9" * 30])
    | HOSTILE_TEXT
    | HOSTILE_NUMBER.map(str)
)


class Api:
    """One service's HTTP API on a real Postgres, asked from a test without a loop."""

    def __init__(self, portal: BlockingPortal, app: FastAPI) -> None:
        self._portal = portal
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://api"
        )
        paths = cast("dict[str, dict[str, Any]]", app.openapi()["paths"])
        self.routes = sorted((method, path) for path, methods in paths.items() for method in methods)
        self.parameters = {
            (method, path): [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            for path, methods in paths.items()
            for method, operation in methods.items()
        }

    def ask(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        headers = {"content-type": "application/json"} if content is not None else {}

        async def request() -> httpx.Response:
            return await self._client.request(method, path, content=content, headers=headers)

        return self._portal.call(request)


def _collector(database: Callable[[str], Database], tmp: Any) -> FastAPI:
    catalogue, store = database("catalogue"), FilesStore(tmp)
    return collector_api(
        CollectorSettings(), catalogue, store, CatalogueArchive(catalogue, store, 0, structlog.get_logger())
    )


def _scheduler(database: Callable[[str], Database], _tmp: Any) -> FastAPI:
    store = SchedulerStore(database("scheduler"), cast("Outbox", None))  # none of its routes announces anything
    return scheduler_api(store, Overviews(database("scheduler")), ApiCalls(database("scheduler")))


def _gateway(database: Callable[[str], Database], tmp: Any) -> FastAPI:
    models = Models(GatewaySettings(), FilesStore(tmp), structlog.get_logger())
    return admin_app(LedgerReports(database("ledger")), models, Prices(models.known))


@pytest.fixture(scope="module", params=[_collector, _scheduler, _gateway], ids=["collector", "scheduler", "gateway"])
def api(
    request: pytest.FixtureRequest, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    dsn: SecretStr = postgres_server.dsn
    migrate_all(dsn)
    opened: list[Database] = []
    with start_blocking_portal() as portal:

        def database(schema: str) -> Database:
            made = portal.call(_opened, dsn, schema)
            opened.append(made)
            return made

        yield Api(portal, request.param(database, tmp_path_factory.mktemp("artifacts")))
        for one in opened:
            portal.call(one.close)


async def _opened(dsn: SecretStr, schema: str) -> Database:
    database = Database(dsn, schema)
    await database.open()
    return database


def _quoted(value: str) -> str:
    return quote(value.encode(errors="surrogatepass"), safe="%")


def _checked(answer: httpx.Response, asked: str) -> None:
    assert answer.status_code < 500, (asked, answer.status_code, answer.text[:300])
    if answer.status_code in (400, 404, 422):
        assert answer.json()["detail"], asked


@fuzz(120, data=st.data())
def test_no_value_in_a_path_or_a_query_is_answered_with_5xx(api: Api, data: st.DataObject):
    method, path = data.draw(st.sampled_from(api.routes))
    if (method, path) == _REBUILD:
        return
    value = _quoted(data.draw(_VALUES))
    filled = re.sub(r"\{\w+\}", lambda _: data.draw(st.sampled_from([_ID, value])), path)
    names = data.draw(st.lists(st.sampled_from(api.parameters[method, path] or ["x"]), max_size=2))
    query = "&".join(f"{one}={_quoted(data.draw(_VALUES))}" for one in names)
    _checked(api.ask(method, f"{filled}?{query}", None), f"{method} {filled}?{query}")


def test_each_hostile_filter_and_cursor_is_answered_below_5xx_on_every_route_that_takes_one(api: Api):
    for method, path in api.routes:
        filled = re.sub(r"\{\w+\}", _ID, path)
        for name in api.parameters[method, path]:
            for value in [*_FILTERS, *_CURSORS, *_TIMES, "9" * 30, "-1", "nan", "1e400"]:
                asked = f"{filled}?{name}={_quoted(value)}"
                _checked(api.ask(method, asked, None), asked)


@fuzz(60, data=st.data(), body=HOSTILE_JSON | st.fixed_dictionaries({"uri": HOSTILE_TEXT, "digest": HOSTILE_JSON}))
def test_no_body_is_answered_with_5xx(api: Api, data: st.DataObject, body: Any):
    writing = [route for route in api.routes if route[0] != "get" and route != _REBUILD]
    if not writing:
        return
    method, path = data.draw(st.sampled_from(writing))
    content = json.dumps(body).encode()
    _checked(api.ask(method, re.sub(r"\{\w+\}", _ID, path), content), f"{method} {path} {content[:200]!r}")


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"\xff" * 10, b'{"uri": "\\ud800"}', b'{"size": NaN}', b"1e999"])
def test_a_broken_body_is_answered_below_5xx(api: Api, body: bytes):
    for method, path in api.routes:
        if method != "get" and (method, path) != _REBUILD:
            _checked(api.ask(method, re.sub(r"\{\w+\}", _ID, path), body), f"{method} {path}")
