"""One suite for every kind of provider, and what models.toml does while the gateway runs."""

import asyncio

import httpx
import pytest

from model_upstream import KEY

MESSAGES = [{"role": "user", "content": "Does it rain?"}]
KINDS = ["openai", "openrouter", "google", "anthropic"]


def kinds(url: str) -> str:
    providers = [
        f'[providers.{kind}]\nkind = "{kind}"\nbase_url = "{url}"\napi_key_env = "UPSTREAM_KEY"\n'
        f'[models."{kind}/vendor/m"]\nprices = {{ input = 1, output = 1 }}\n'
        for kind in KINDS
    ]
    return "\n".join(providers)


@pytest.fixture
async def every_kind(start_gateway, upstream, monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    monkeypatch.setenv("UPSTREAM_KEY_FILE", str(file))
    async with start_gateway(kinds(upstream.url)) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_every_kind_answers_whole_streamed_and_refuses(every_kind, upstream, kind, path, capfd):
    route = f"{kind}/vendor/m"
    async with every_kind.http(route) as client:
        body = {"model": route, "messages": MESSAGES, "max_tokens": 9}
        whole = await client.post(path, json=body)
        streamed = await client.post(path, json={**body, "stream": True})
        upstream.key = "another"
        refused = await client.post(path, json=body)
    assert whole.status_code == 200
    assert "11 degrees" in whole.text
    assert whole.headers["x-synthbench-cost-microusd"] == "1100"
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert ("[DONE]" if "chat" in path else "message_stop") in streamed.text
    assert upstream.seen[0].body["model"] == "vendor/m"
    assert refused.status_code == 403
    assert refused.headers["x-synthbench-code"] == "upstream_credentials"
    calls = await every_kind.calls()
    assert [call["outcome"] for call in calls] == ["ok", "ok", "upstream_credentials"]
    out, err = capfd.readouterr()
    assert KEY not in out + err + str(calls) + refused.text


async def test_the_same_wire_passes_unknown_fields_both_ways(every_kind, upstream):
    async with every_kind.http("openai/vendor/m") as client:
        body = {"model": "openai/vendor/m", "messages": MESSAGES, "x_new": {"deep": [1.0, None]}}
        answer = await client.post("/v1/chat/completions", json=body)
    assert upstream.seen[0].body == {**body, "model": "vendor/m"}
    assert answer.json()["x_unknown"] == {"kept": True}


CHAT = "/v1/chat/completions"
BAD = [
    (b"{nonsense", "no JSON"),
    (b"[]", "no JSON object"),
    (b"{}", "messages must be a list"),
    (b'{"messages": [{"content": "x"}]}', "role"),
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(("body", "said"), BAD)
async def test_bad_bodies(every_kind, path, body, said):
    async with every_kind.http("openai/vendor/m") as client:
        answer = await client.post(path, content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert ("type" in answer.json()) == (path == "/v1/messages")


@pytest.mark.parametrize(
    ("path", "more", "said"),
    [
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f g"}}]}, "tool's name"),
        (
            "/v1/chat/completions",
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]},
            "schema",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]},
            "answers a call",
        ),
        ("/v1/messages", {"tools": [{"name": "f", "input_schema": {"type": "array"}}]}, "schema"),
        ("/v1/messages", {"max_tokens": None}, "max_tokens"),
        (
            "/v1/messages",
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
            "answers a tool_use",
        ),
    ],
)
async def test_bad_tools_and_orders(every_kind, upstream, path, more, said):
    async with every_kind.http("openai/vendor/m") as client:
        body = {"model": "openai/vendor/m", "messages": MESSAGES, "max_tokens": 9, **more}
        answer = await client.post(path, json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert upstream.seen == []


async def test_a_body_over_the_limit(start_gateway):
    async with start_gateway(max_body_mb=1) as gateway, gateway.http("sim/quitter") as client:
        answer = await client.post("/v1/messages", content=b"x" * (1 << 20) + b"y")
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")


async def test_the_file_is_read_again_and_a_broken_one_is_not_taken_over(every_kind, upstream):
    path, good = every_kind.models_file, every_kind.models_file.read_text()
    route = '\n[routes.two]\nstrategy = "fallback"\nmodels = ["openai/vendor/m"]\n'

    async def listed(name: str) -> bool:
        async with every_kind.http("two") as client:
            answer = await client.get("/v1/models")
        return sum(entry["id"] == name for entry in answer.json()["data"]) > 0

    path.write_text(good + route.replace("two", "three"))
    async with asyncio.timeout(10):
        while not await listed("three"):
            await asyncio.sleep(0.1)
    path.write_text("[routes.four]\nstrategy = 'best'")
    await asyncio.sleep(1.5)
    assert await listed("three")


async def test_simulated_models_speak_both_wires_and_stream(start_gateway):
    """`sim/*` needs a task's package; without one the refusal is on the caller's wire as well."""
    async with start_gateway() as gateway, gateway.http("sim/quitter") as client:
        for path in ("/v1/chat/completions", "/v1/messages"):
            body = {"model": "sim/quitter", "messages": MESSAGES, "max_tokens": 5, "stream": True}
            answer: httpx.Response = await client.post(path, json=body)
            assert answer.status_code == 502
            assert answer.headers["x-synthbench-code"] == "upstream_unreachable"
