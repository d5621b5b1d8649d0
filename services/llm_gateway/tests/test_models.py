"""Models as people have them: several places of one provider, a file that changes, and trying one out."""

import socket
from collections import Counter
from pathlib import Path
from typing import cast
from uuid import uuid4

import httpx
import pytest
import structlog

from model_upstream import KEY, Upstream, two_wires
from synthbench.llm_gateway.admin import admin_app
from synthbench.llm_gateway.budgets.reports import LedgerReports
from synthbench.llm_gateway.domain.base_urls import BaseUrls
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.models import Models
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database

BASES = ["http://a/v1", "http://b/v1", "http://c/v1"]


def closed_url() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def test_attempts_are_spread_over_places_and_each_keeps_its_own():
    places = BaseUrls(BASES)
    firsts = {f"r{number}/1": places.order(f"r{number}/1", 0.0)[0] for number in range(300)}
    assert all(60 <= count <= 140 for count in Counter(firsts.values()).values())
    assert {name: BaseUrls(BASES).order(name, 99.0)[0] for name in firsts} == firsts


def test_a_server_that_is_away_loses_only_its_own_attempts_until_it_is_back():
    places = BaseUrls(BASES)
    firsts = {name: places.order(name, 0.0)[0] for name in map(str, range(100))}
    places.away(BASES[0], 0.0)
    for name, first in firsts.items():
        now = places.order(name, 1.0)[0]
        assert now != BASES[0] if first == BASES[0] else now == first
        assert places.order(name, 31.0)[0] == first


async def test_an_attempt_stays_with_one_base_url_and_skips_those_that_are_away(
    start_gateway, upstream: Upstream, monkeypatch
):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    text = two_wires(upstream.url).replace(
        f'base_url = "{upstream.url}"', f'base_urls = ["{closed_url()}", "{upstream.url}"]'
    )
    async with start_gateway(text) as gateway:
        for _ in range(6):
            assert await gateway.call("openai", "chat/small", key=gateway.key("chat/small", rollout_id=uuid4()))
    assert len(upstream.seen) == 6


@pytest.fixture
async def admin(tmp_path: Path, upstream: Upstream, monkeypatch):
    """The admin API of a gateway that reads a models.toml, and the file."""
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    path = tmp_path / "models.toml"
    path.write_text(two_wires(upstream.url))
    models = Models(GatewaySettings(models_file=path), FilesStore(tmp_path), structlog.get_logger())
    await models.load()
    app = admin_app(LedgerReports(cast("Database", None)), models, Prices(models.known))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin") as http:
        yield http, path
    await models.aclose()


async def test_a_broken_file_keeps_the_old_models_and_says_why(admin):
    http, path = admin
    good = path.read_text()
    path.write_text(good + '\n[models."nowhere/m"]\n')
    problem = (await http.post("/v1/models/reload")).json()["problem"]
    assert "models.nowhere/m: there is no such provider" in problem
    listed = (await http.get("/v1/models")).json()
    assert listed["problem"] == problem
    assert "chat/small" in listed["models"]
    path.write_text(good.replace('"chat/small"', '"chat/other"'))
    assert (await http.post("/v1/models/reload")).json() == {"problem": ""}
    assert "chat/other" in (await http.get("/v1/models")).json()["models"]


@pytest.mark.parametrize("since", ["8.75e-255", "1764460800", "-1", "1e5", "today", "20261125", "2026-13-01"])
async def test_a_number_is_no_moment(admin, since: str):
    http, _ = admin
    refused = await http.get("/v1/costs", params={"since": since})
    assert refused.status_code == 422
    assert "since" in refused.text


async def test_a_key_may_lie_in_a_file(admin, upstream: Upstream, tmp_path: Path):
    http, path = admin
    (tmp_path / "key").write_text(KEY + "\n")
    path.write_text(path.read_text().replace('api_key_env = "UPSTREAM_KEY"', f'api_key_file = "{tmp_path / "key"}"'))
    assert (await http.post("/v1/models/reload")).json() == {"problem": ""}
    found = (await http.post("/v1/models/test", params={"model": "chat/small"})).json()
    assert found["answers"] == "yes"


@pytest.mark.parametrize("model", ["chat/small", "claude/small"])
async def test_trying_a_model_out_says_what_was_found(admin, model: str):
    http, _ = admin
    found = (await http.post("/v1/models/test", params={"model": model})).json()
    assert found | {"seconds": ""} == {
        "model": model, "answers": "yes", "streaming": "yes", "tools": "yes", "usage": "1000 tokens in, 100 out",
        "reasoning": "none seen", "context": "unknown", "seconds": "", "price": found["price"],
    }  # fmt: skip
    assert "USD for a million tokens" in found["price"]


async def test_trying_out_a_model_that_does_not_answer_says_why(admin, upstream: Upstream):
    http, _ = admin
    upstream.key = "another"
    found = (await http.post("/v1/models/test", params={"model": "chat/small"})).json()
    assert found == {
        "model": "chat/small",
        "answers": "no: the provider refuses this deployment's key (401): wrong key",
    }
