"""Recorded calls over real sockets, with both official SDKs: what was asked once is answered without a provider."""

import asyncio
import itertools
import json
from pathlib import Path
from uuid import uuid4

import anthropic
import openai
import pytest
from prometheus_client import REGISTRY

from model_upstream import KEY, Answer, two_wires
from synthbench.chassis.redaction import redact
from synthbench.llm_gateway.recordings.answer_numbers import AnswerNumberStore
from synthbench.storage.database import Database

ROUTES = ["chat/small", "claude/small"]
WAYS = [("openai", False), ("openai", True), ("anthropic", False), ("anthropic", True)]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
CALLS = [("weather", {"city": "Paris 0"}), ("time", {"city": "Paris 1"})]
Said = tuple[str, list[tuple[str, dict]]]


@pytest.fixture
def start(start_gateway, upstream, monkeypatch, tmp_path):
    """Start a gateway whose recordings lie in one folder, whatever the mode."""
    monkeypatch.setenv("UPSTREAM_KEY", KEY)

    def make(mode: str, models: str = "", **settings):
        url = f"file://{tmp_path / 'recordings'}"
        return start_gateway(two_wires(upstream.url, models), recording=mode, recordings_url=url, **settings)

    return make


async def ask_openai(gateway, route: str, *, stream: bool, key: str | None = None, text: str = "The weather?") -> Said:
    tools = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name, _ in CALLS]
    given: dict = {"model": route, "max_tokens": 400, "tools": tools, "messages": [{"role": "user", "content": text}]}
    client = gateway.openai(route, key)
    if stream:
        async with client.chat.completions.stream(**given) as got:
            answer = await got.get_final_completion()
    else:
        answer = await client.chat.completions.create(**given)
    message = answer.choices[0].message
    assert stream or answer.usage.prompt_tokens == 1000
    calls = [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or []]
    assert answer.choices[0].finish_reason == ("tool_calls" if calls else "stop")
    return message.content or "", calls


async def ask_anthropic(
    gateway, route: str, *, stream: bool, key: str | None = None, text: str = "The weather?"
) -> Said:
    tools = [{"name": name, "input_schema": PARAMETERS} for name, _ in CALLS]
    given: dict = {"model": route, "max_tokens": 400, "tools": tools, "messages": [{"role": "user", "content": text}]}
    client = gateway.anthropic(route, key)
    if stream:
        async with client.messages.stream(**given) as got:
            answer = await got.get_final_message()
    else:
        answer = await client.messages.create(**given)
    assert answer.usage.output_tokens == 100
    calls = [(block.name, block.input) for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == ("tool_use" if calls else "end_turn")
    return "".join(block.text for block in answer.content if block.type == "text"), calls


async def ask(gateway, wire: str, route: str, **given) -> Said:
    return await (ask_openai if wire == "openai" else ask_anthropic)(gateway, route, **given)


def records(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "recordings" / "key" / "recordings").rglob("s*.json"))


def counted(event: str) -> float:
    return REGISTRY.get_sample_value("synthbench_llm_recordings_total", {"event": event}) or 0.0


async def test_an_answer_recorded_one_way_is_replayed_every_way(start, upstream, background, monkeypatch, tmp_path):
    ways = [(route, wire, stream) for route in ROUTES for wire, stream in WAYS]
    async with start("on") as gateway:
        for route, wire, stream in ways:
            assert await ask(gateway, wire, route, stream=stream, text=f"{wire} {stream}") == ("I look.", CALLS)
    background.run(upstream.stop())
    monkeypatch.delenv("UPSTREAM_KEY")  # recordings need no key
    async with start("read-only") as gateway:
        for (route, wire, stream), (other, streamed) in itertools.product(ways, WAYS):
            assert await ask(gateway, other, route, stream=streamed, text=f"{wire} {stream}") == ("I look.", CALLS)
        calls = [call for call in await gateway.calls() if call["recorded"]]
    assert len(upstream.seen) == len(records(tmp_path)) == len(ways)
    assert sum(json.loads(record.read_bytes())["stream"] for record in records(tmp_path)) == len(ways) / 2
    assert len(calls) == len(ways) * len(WAYS)
    for call in calls:
        assert (call["usage"]["cost_microusd"], call["usage"]["cost_known"]) == (0, True)
        assert (call["provider"], call["usage"]["input_tokens"]) == (call["route"].partition("/")[0], 1000)


async def test_samples_stay_different_and_a_retried_attempt_gets_the_same_answers(start, upstream):
    numbers = itertools.count()
    upstream.say = lambda wire, body: Answer(f"Answer {next(numbers)}.")
    rollout, other = uuid4(), uuid4()
    async with start("on") as gateway:

        async def said(seed: int, rollout_id, attempt: int) -> str:
            key = gateway.key("chat/small", seed=seed, rollout_id=rollout_id, attempt=attempt)
            return (await ask_openai(gateway, "chat/small", stream=False, key=key))[0]

        assert [await said(0, rollout, 1) for _ in range(3)] == ["Answer 0.", "Answer 1.", "Answer 2."]
        assert await said(1, other, 1) == "Answer 3."
        assert [await said(0, rollout, 2) for _ in range(2)] == ["Answer 0.", "Answer 1."]  # the attempt after it
        assert [await said(1, other, 2) for _ in range(2)] == ["Answer 3.", "Answer 4."]
    assert len(upstream.seen) == 5


async def test_the_same_question_asked_again_is_the_same_answer(start, upstream):
    """The caller lost the answer: its SDK says how often it asked before."""
    upstream.say = lambda wire, body: Answer(f"Answer {len(upstream.seen)}.")
    rollout = uuid4()
    async with start("on") as gateway:
        client = gateway.openai("chat/small", gateway.key("chat/small", rollout_id=rollout))
        given: dict = {"model": "chat/small", "messages": [{"role": "user", "content": "Hi"}]}
        answers = [
            await client.chat.completions.create(**given, extra_headers={"x-stainless-retry-count": again})
            for again in ("0", "1", "0")
        ]
    assert [one.choices[0].message.content for one in answers] == ["Answer 1.", "Answer 1.", "Answer 2."]


async def test_calls_at_the_same_time_for_the_same_answer_ask_once(start, upstream):
    upstream.delay = 0.3
    async with start("on") as gateway:
        asked = [ask(gateway, wire, "chat/small", stream=stream) for wire, stream in WAYS]
        assert await asyncio.gather(*asked) == [("I look.", CALLS)] * 4
        calls = await gateway.calls()
    assert len(upstream.seen) == 1
    assert sorted(call["recorded"] for call in calls) == [False, True, True, True]


async def test_calls_of_one_attempt_at_the_same_time_are_samples(start, upstream):
    numbers = itertools.count()
    upstream.say = lambda wire, body: Answer(f"Answer {next(numbers)}.")
    async with start("on") as gateway:
        key = gateway.key("chat/small")
        asked = [ask_openai(gateway, "chat/small", stream=False, key=key) for _ in range(5)]
        said = {text for text, _ in await asyncio.gather(*asked)}
    assert said == {f"Answer {number}." for number in range(5)}


async def test_what_is_not_recorded_is_a_clear_error_and_asks_nobody(start, upstream):
    async with start("on") as gateway:
        await ask_openai(gateway, "chat/small", stream=False)
    async with start("read-only") as gateway:
        for wire, stream in WAYS:
            problem = r"no recording of model chat/small, request sha256:\w+, sample 0, .*nothing is recorded"
            with pytest.raises((openai.NotFoundError, anthropic.NotFoundError), match=problem) as missed:
                await ask(gateway, wire, "chat/small", stream=stream, text="The time?")
            body: dict = missed.value.body  # pyright: ignore[reportAssignmentType] - an error of ours is an object
            assert (body.get("code") or body["error"]["code"]) == "not_recorded"
            with pytest.raises(Exception, match=r"sample 7, answer 0 .*recorded of this request: s0\.0\.json"):
                await ask(gateway, wire, "chat/small", stream=stream, key=gateway.key("chat/small", seed=7))
        assert len(await gateway.calls()) == len(upstream.seen) == 1


async def test_modes(start, upstream, tmp_path):
    async with start("off") as gateway:
        await ask_openai(gateway, "chat/small", stream=False)
    assert records(tmp_path) == []
    for _ in range(2):
        async with start("write-only") as gateway:
            await ask_openai(gateway, "chat/small", stream=False)
    assert len(upstream.seen) == 3
    assert len(records(tmp_path)) == 1  # the first one stays
    async with start("on") as gateway:
        await ask_openai(gateway, "chat/small", stream=False)
    assert len(upstream.seen) == 3


async def test_what_failed_is_not_recorded(start, upstream, tmp_path):
    upstream.faults.extend(["500", "half"])
    async with start("on") as gateway:
        assert (await ask_anthropic(gateway, "claude/small", stream=False, key=gateway.key("claude/small")))[1]
    upstream.faults.append("cut")
    async with start("on") as gateway:
        with pytest.raises(Exception, match="broke off"):
            await ask_openai(gateway, "chat/small", stream=True)
    assert len(records(tmp_path)) == 1
    assert json.loads(records(tmp_path)[0].read_bytes())["number"] == 0


async def test_a_damaged_recording_is_reported_or_recorded_anew(start, upstream, tmp_path):
    async with start("on") as gateway:
        await ask_openai(gateway, "chat/small", stream=False)
    (record,) = records(tmp_path)
    digest = json.loads(record.read_bytes())["answer"]["digest"].removeprefix("sha256:")
    body = tmp_path / "recordings" / "sha256" / digest[:2] / digest
    whole = body.read_bytes()
    for path, content in ((record, b"{half"), (body, whole[:-7])):
        path.write_bytes(content)
        async with start("read-only") as gateway:
            with pytest.raises(Exception, match="is damaged") as failed:
                await ask_openai(gateway, "chat/small", stream=False)
        assert getattr(failed.value, "status_code", None) == 502
        async with start("on") as gateway:
            await ask_openai(gateway, "chat/small", stream=False)
        assert body.read_bytes() == whole
        async with start("read-only") as gateway:
            assert await ask_openai(gateway, "chat/small", stream=True) == ("I look.", CALLS)
    assert len(upstream.seen) == 3


async def test_a_store_that_takes_nothing_fails_no_call(start, upstream, tmp_path):
    (tmp_path / "recordings").write_text("a file where a folder should be")
    before = counted("unwritten")
    for mode in ("on", "write-only"):
        async with start(mode) as gateway:
            assert await ask_openai(gateway, "chat/small", stream=True) == ("I look.", CALLS)
    assert counted("unwritten") == before + 2
    async with start("read-only") as gateway:
        with pytest.raises(Exception, match="artifact store") as failed:
            await ask_openai(gateway, "chat/small", stream=False)
    assert getattr(failed.value, "status_code", None) == 503
    assert len(upstream.seen) == 2


async def test_a_recording_holds_no_key(start, upstream, tmp_path):
    redact(KEY)
    upstream.say = lambda wire, body: Answer(f"Your key is {KEY}, and Bearer tokens look alike.")
    async with start("on") as gateway:
        await ask_openai(gateway, "chat/small", stream=False, text=f"My key is {KEY}.")
    found = b"".join(path.read_bytes() for path in (tmp_path / "recordings").rglob("*") if path.is_file())
    assert KEY.encode() not in found
    assert b"and Bearer tokens look alike." in found
    assert b"authorization" not in found.lower()


async def test_replay_of_a_model_and_of_a_route_in_every_mode(start, upstream, background):
    routes = '[routes.both]\nstrategy = "fallback"\nmodels = ["chat/small", "claude/small"]\n'
    upstream.faults.extend(["500"] * 3)
    async with start("on", routes) as gateway:
        await ask_openai(gateway, "both", stream=False)  # the second of the route answered
    background.run(upstream.stop())
    async with start("off", routes) as gateway:
        for route in ("replay/both", "replay/claude/small"):
            for wire, stream in WAYS:
                assert await ask(gateway, wire, route, stream=stream) == ("I look.", CALLS)
        with pytest.raises(Exception, match="no recording of model chat/small"):
            await ask_openai(gateway, "replay/chat/small", stream=False)
        with pytest.raises(Exception, match="no recording of model gpt-4o"):
            await ask_openai(gateway, "replay/gpt-4o", stream=False)
        with pytest.raises(Exception, match="there is no sim/expert"):
            await ask_openai(gateway, "replay/sim/expert", stream=False)
        assert sum(call["recorded"] for call in await gateway.calls()) == 2 * len(WAYS)


async def test_numbers_are_taken_once_over_replicas(migrated, claims):
    dsn = migrated("ledger", "synthbench.llm_gateway")
    databases = [Database(dsn, "ledger") for _ in range(3)]
    for database in databases:
        await database.open()
    replicas = [AnswerNumberStore(database) for database in databases]
    taken = await asyncio.gather(*(replicas[n % 3].take(claims, "sha256:0", again=False) for n in range(12)))
    assert sorted(taken) == list(range(12))
    await replicas[1].give_back(claims, "sha256:0", 4)
    assert await replicas[2].take(claims, "sha256:0", again=False) == 4
    assert await replicas[0].take(claims, "sha256:0", again=True) == 11
    assert await replicas[0].take(claims, "sha256:1", again=True) == 0
    await replicas[0].forget(claims.rollout_id, claims.attempt)
    assert await replicas[1].take(claims, "sha256:0", again=False) == 0
    for database in databases:
        await database.close()
