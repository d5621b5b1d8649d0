"""Probes of routes: what is refused before a submission is accepted, on both wires, and what passes."""

import socket
from time import monotonic

import httpx
import pytest

from model_upstream import KEY, Upstream, two_wires
from synthbench.contracts.attempt_key import PROBE_PATH, ProbeReply

MORE = '\n[routes.both]\nstrategy = "fallback"\nmodels = ["chat/small", "claude/small"]\n'


async def probe(gateway, route: str, *, allow: bool = False) -> str:
    headers = {"authorization": f"Bearer {gateway.probe_key(route, allow=allow)}"}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as http:
        response = await http.post(PROBE_PATH, headers=headers)
    assert response.status_code == 200
    return ProbeReply.model_validate_json(response.content).problem


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("route", ["chat/small", "claude/small", "both", "sim/expert", "replay/anything"])
async def test_a_route_that_works_has_no_problem(start_gateway, upstream: Upstream, monkeypatch, route):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with start_gateway(two_wires(upstream.url, MORE)) as gateway:
        assert await probe(gateway, route) == ""


@pytest.mark.parametrize("route", ["chat/small", "claude/small"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", "the provider answers 500: status 500"),
        ("html", "a web page; is the base URL right"),
        ("half", "none on the"),
        ("reset", "broke the connection"),
        ("401", "refuses this deployment's key (401)"),
        ("404", "knows no such model"),
    ],
)
async def test_what_every_call_would_meet_is_one_line(start_gateway, upstream, monkeypatch, route, fault, said):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.refuses_nothing = True
    async with start_gateway(two_wires(upstream.url)) as gateway:
        upstream.faults.extend([fault] * 2)
        problem = await probe(gateway, route)
    assert said in problem
    assert problem.startswith(f"{route}: ")
    assert "\n" not in problem


@pytest.mark.parametrize("fault", ["429", "context", "529", "half"])
async def test_what_may_pass_keeps_nobody_back(start_gateway, upstream, monkeypatch, fault):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.refuses_nothing = True
    async with start_gateway(two_wires(upstream.url)) as gateway:
        upstream.faults.append(fault)  # once
        assert await probe(gateway, "chat/small") == ""


async def test_a_provider_that_is_not_there_is_named_within_seconds(start_gateway, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    port = closed_port()
    async with start_gateway(two_wires(f"http://127.0.0.1:{port}/v1")) as gateway:
        began = monotonic()
        problem = await probe(gateway, "chat/small")
    assert problem == f"chat/small: the provider cannot be reached: connection refused by 127.0.0.1:{port}"
    assert monotonic() - began < 5


async def test_a_route_of_which_one_model_answers_has_no_problem(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    dead = f'[providers.dead]\nkind = "openai"\nbase_url = "http://127.0.0.1:{closed_port()}/v1"\n'
    dead += '[models."dead/m"]\nprices = { input = 1, output = 1 }\n'
    routes = '[routes.mixed]\nstrategy = "fallback"\nmodels = ["dead/m", "chat/small"]\n'
    async with start_gateway(two_wires(upstream.url, dead + routes)) as gateway:
        assert await probe(gateway, "mixed") == ""
        assert "connection refused" in await probe(gateway, "dead/m")


async def test_an_unknown_price_names_the_option(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with start_gateway(two_wires(upstream.url, '[models."chat/new"]\n')) as gateway:
        assert "--allow-unknown-price" in await probe(gateway, "chat/new")
        assert await probe(gateway, "chat/new", allow=True) == ""


@pytest.mark.parametrize(("route", "said"), [("sim/exprt", "there are sim/expert"), ("nobody/m", "no provider for")])
async def test_a_name_that_does_not_exist_is_refused(start_gateway, route, said):
    async with start_gateway() as gateway:
        assert said in await probe(gateway, route)


async def test_many_submissions_of_one_route_ask_its_provider_once(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.refuses_nothing = True
    async with start_gateway(two_wires(upstream.url)) as gateway:
        for _ in range(5):
            assert await probe(gateway, "chat/small") == ""
    assert len(upstream.seen) == 1


async def test_the_key_of_a_probe_is_worth_no_call_and_an_attempts_key_no_probe(start_gateway):
    async with start_gateway() as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        call = {"model": "sim/expert", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {gateway.probe_key('sim/expert')}"}
        assert (await http.post("/v1/chat/completions", json=call, headers=headers)).status_code == 401
        for key in (gateway.key("sim/expert"), "nonsense"):
            assert (await http.post(PROBE_PATH, headers={"authorization": f"Bearer {key}"})).status_code == 401


async def test_a_model_that_is_left_alone_says_why_it_failed(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    body = {"model": "chat/small", "messages": [{"role": "user", "content": "hi"}]}
    async with start_gateway(two_wires(upstream.url), upstream_tries=1) as gateway:
        upstream.faults.extend(["500"] * 5)
        async with gateway.http("chat/small") as http:
            for _ in range(5):
                await http.post("/v1/chat/completions", json=body)
            response = await http.post("/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert error["code"] == "circuit_open"
    assert error["message"].startswith("the provider answers 500: status 500 (chat/small is left alone for ")


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("route", ["chat/small", "claude/small"])
async def test_a_stream_that_nobody_asked_for_is_the_answer_it_holds(start_gateway, upstream, monkeypatch, wire, route):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.always_streams = True
    async with start_gateway(two_wires(upstream.url)) as gateway:
        assert await gateway.call(wire, route) == "It is 11 degrees in Paris."
