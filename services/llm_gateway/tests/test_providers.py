"""One suite for every kind of provider, and what models.toml does while the gateway runs."""

import asyncio

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


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(("body", "said"), [(b"{nonsense", "no JSON"), (b"[]", "no JSON object")])
async def test_bodies_that_no_sdk_would_send(every_kind, path, body, said):
    async with every_kind.http("openai/vendor/m") as client:
        answer = await client.post(path, content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert ("type" in answer.json()) == (path == "/v1/messages")


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
