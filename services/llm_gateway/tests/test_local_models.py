"""`sim/*` and `replay/*` by the official SDKs, over real sockets: whole and streamed, the same on both wires."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from synthbench.contracts.ids import uuid7
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.contracts.steps import Action, ModelCall, Step, ToolCall
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.artifacts import open_store
from synthbench.tasks import load_library_task, pack

WIRES = pytest.mark.parametrize("wire", ["openai", "anthropic"])
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
NAMES = ("bash", "read_file", "write_file", "edit_file", "search", "submit")
ASK: list = [{"role": "user", "content": "Mend it."}]


async def answer_of(gateway, wire: str, route: str, *, stream: bool, turns: int = 0, **claims: Any) -> tuple[str, list]:
    """The text and the calls of the next answer, after so many turns of the assistant."""
    key = gateway.key(route, **claims)
    messages: list = [*ASK, *[{"role": role, "content": "…"} for role in ("assistant", "user")] * turns]
    if wire == "openai":
        tools: Any = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in NAMES]
        given = {"model": route, "messages": messages, "tools": tools}
        client = gateway.openai(route, key)
        if stream:
            async with client.chat.completions.stream(**given) as events:
                message = (await events.get_final_completion()).choices[0].message
        else:
            message = (await client.chat.completions.create(**given)).choices[0].message
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
        return message.content or "", calls
    tools = [{"name": name, "input_schema": SCHEMA} for name in NAMES]
    given = {"model": route, "messages": messages, "tools": tools, "max_tokens": 999}
    client = gateway.anthropic(route, key)
    if stream:
        async with client.messages.stream(**given) as events:
            blocks = (await events.get_final_message()).content
    else:
        blocks = (await client.messages.create(**given)).content
    calls = [(block.name, block.input) for block in blocks if block.type == "tool_use"]
    return "".join(block.text for block in blocks if block.type == "text"), calls


async def test_simulated_models_play_the_same_on_every_wire(start_gateway, tmp_path):
    store = open_store(f"file://{tmp_path / 'artifacts'}")
    await store.prepare()
    package = await store.put(pack(load_library_task("simple-task-001")))
    async with start_gateway() as gateway:
        for policy in ("sim/expert", "sim/cheater"):
            for turns in (0, 1):
                given: dict[str, Any] = {"turns": turns, "task_digest": package.digest, "seed": 5}
                found = [
                    await answer_of(gateway, wire, policy, stream=stream, **given)
                    for wire in ("openai", "anthropic") for stream in (False, True)
                ]  # fmt: skip
                assert found[1:] == found[:1] * 3
                assert found[0][1]
        calls = await gateway.calls()
    assert {(call["provider"], call["outcome"], call["usage"]["cost_microusd"]) for call in calls} == {("sim", "ok", 0)}
    assert {(call["wire"], call["stream"]) for call in calls} == {
        ("openai", False), ("openai", True), ("anthropic", False), ("anthropic", True),
    }  # fmt: skip
    assert all(call["usage"]["output_tokens"] > 0 for call in calls)


def recording(folder: Path) -> None:
    """Two turns: one with the provider's own response, one without."""
    said = {
        "id": "r", "object": "chat.completion", "created": 1, "model": "m", "usage": None,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Recorded."}}],
    }  # fmt: skip
    call = ToolCall(id="c1", name="bash", arguments='{"command": "ls"}')
    now = datetime.now(UTC)
    recorded = ModelCall(response=json.dumps(said))
    steps = [
        Step(started_at=now, finished_at=now, action=Action(message="Recorded."), model_call=recorded),
        Step(index=1, started_at=now, finished_at=now, action=Action(message="I look.", tool_calls=[call])),
    ]
    ids: dict[str, Any] = {"rollout_id": uuid7(), "submission_id": uuid7(), "campaign": "c", "pool": "bubblewrap"}
    rollout = Rollout(
        **ids, task=TaskInfo(name="t", digest="sha256:" + "0" * 64), scaffold="native", route="replay/one"
    )
    made = Trajectory(trajectory_id=uuid7(), rollout=rollout, attempt=1, steps=steps, outcome=Outcome.SOLVED)
    (folder / "one.json").write_text(made.model_dump_json())


@WIRES
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_recorded_answers_come_on_every_wire(start_gateway, tmp_path, wire, stream):
    recording(tmp_path)
    async with start_gateway(replay_folder=tmp_path) as gateway:
        assert await answer_of(gateway, wire, "replay/one", stream=stream) == ("Recorded.", [])
        looked = ("I look.", [("bash", {"command": "ls"})])
        assert await answer_of(gateway, wire, "replay/one", stream=stream, turns=1) == looked
        assert await gateway.ask(wire, "replay/other", stream=stream) == "not_recorded"
        calls = await gateway.calls()
    assert [call["outcome"] for call in calls] == ["ok", "ok"]


async def test_a_simulated_model_without_its_task_says_so(start_gateway):
    async with start_gateway() as gateway:
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.call("openai", "sim/quitter", stream=True)
    assert caught.value.code == "upstream_unreachable"
