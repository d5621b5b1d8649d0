"""Trajectories of others become records; what is broken is told in one line."""

import json
from typing import Any

import pytest

from synthbench.contracts.ids import derived_id, sha256_digest
from synthbench.contracts.records import Outcome
from synthbench.contracts.text import original
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign import ForeignError, Source, detect, load_json, read
from synthbench.datasets.formats.messages import to_messages

SOURCE = Source("a.traj.json", sha256_digest(b"a"))


USAGE = {"prompt_tokens": 100, "completion_tokens": 7, "cost": 0.002, "prompt_tokens_details": {"cached_tokens": 90}}


def response(text: str, **usage: Any) -> dict[str, Any]:
    return {"model": "vendor/model-1", "created": 1_760_000_000, "usage": usage,
            "choices": [{"message": {"role": "assistant", "content": text}}]}  # fmt: skip


def mini() -> dict[str, Any]:
    said = "THOUGHT: look\n\n```bash\nls\n```"
    return {
        "trajectory_format": "mini-swe-agent-1",
        "instance_id": "org__repo-7",
        "info": {
            "exit_status": "Submitted", "submission": "diff --git a/x b/x\n", "mini_version": "1.15.0",
            "model_stats": {"instance_cost": 0.5}, "config": {"agent": {}},
        },
        "messages": [
            {"role": "system", "content": "Be careful."},
            {"role": "user", "content": "Mend it.", "cache_control": {"type": "ephemeral"}},
            {"role": "assistant", "content": said, "extra": {"response": response(said, **USAGE)}},
            {"role": "user", "content": "<returncode>2</returncode>\n<output>\nno such file\n</output>"},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "diff --git a/x b/x\n"},
        ],
    }  # fmt: skip


def test_mini_swe_agent_1():
    made, name = read(mini(), SOURCE)
    assert name == "mini-swe-agent"
    assert (made.rollout.task.name, made.rollout.scaffold) == ("imported/org__repo-7", "mini-swe-agent")
    assert (made.rollout.route, made.context.scaffold_version) == ("vendor/model-1", "mini-swe-agent-1.15.0")
    assert (made.context.system_prompt, made.context.instruction) == ("Be careful.", "Mend it.")
    first, second = made.steps
    assert first.action.message.startswith("THOUGHT: look")
    assert first.observations[0].exit_code == first.state.exit_code == 2
    assert (first.usage.input_tokens, first.usage.cached_tokens, first.usage.output_tokens) == (100, 90, 7)
    assert (first.usage.cost_microusd, first.usage.cost_known, second.usage.cost_known) == (2000, True, False)
    assert first.started_at.timestamp() == 1_760_000_000
    assert json.loads(first.native)["extra"]["response"]["model"] == "vendor/model-1"
    assert (made.outcome, made.detail, made.patch) == (
        Outcome.UNSOLVED,
        "exit_status Submitted",
        "diff --git a/x b/x\n",
    )
    assert made.imported is not None
    assert made.imported.left_out == {"info.config": 1, "messages[].cache_control": 1}
    assert (made.usage.cost_microusd, made.usage.cost_known) == (500_000, True)
    assert (made.reward, made.verification) == (0.0, None)
    assert all(step.sealed() == step for step in made.steps)
    plain = [{"role": one["role"], "content": one["content"]} for one in mini()["messages"]]
    assert to_messages(made)["messages"] == plain


def test_mini_swe_agent_2_with_tool_calls():
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
    document = {
        "trajectory_format": "mini-swe-agent-1.1",
        "info": {"exit_status": "LimitsExceeded", "submission": "", "config": {"model": {"model_name": "vendor/m"}}},
        "messages": [
            {"role": "user", "content": "Mend it."},
            {"role": "assistant", "content": None, "tool_calls": [call], "extra": {"timestamp": 5.5, "cost": 0.25}},
            {"role": "tool", "tool_call_id": "c1", "content": '{"returncode": 1, "output": "no"}'},
            {"role": "exit", "content": "LimitsExceeded", "extra": {}},
        ],
    }
    made, _ = read(document, SOURCE)
    (step,) = made.steps
    assert (step.action.message, step.action.tool_calls[0].arguments) == ("", '{"command": "ls"}')
    assert (step.observations[0].tool_call_id, step.observations[0].exit_code) == ("c1", 1)
    assert (step.usage.cost_microusd, step.started_at.timestamp()) == (250_000, 5.5)
    assert (made.outcome, made.rollout.route) == (Outcome.STEP_LIMIT, "vendor/m")


def swe_agent(status: str = "submitted") -> dict[str, Any]:
    turn = {
        "action": "ls -a", "observation": "x.py\n", "response": "I look.\n```\nls -a\n```", "thought": "I look.",
        "state": '{"working_dir": "/repo"}', "execution_time": 0.25, "query": [{"role": "user", "content": "Mend it."}],
        "extra_info": {"k": 1},
    }  # fmt: skip
    return {
        "trajectory": [turn, {**turn, "action": "", "query": []}],
        "history": [{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "U"}]}],
        "info": {"exit_status": status, "submission": None, "model_stats": {"instance_cost": 1}},
        "environment": "org__repo-7",
        "replay_config": None,
    }


def test_swe_agent():
    made, name = read(swe_agent(), Source("org__repo-7.traj", SOURCE.digest, resolved=True))
    assert name == "swe-agent"
    assert (made.context.system_prompt, made.context.instruction) == ("S", "U")
    first, second = made.steps
    assert (first.action.message, first.action.tool_calls[0].arguments) == ("I look.", '{"command": "ls -a"}')
    assert (first.state.cwd, first.timing.tool_seconds, first.observations[0].seconds) == ("/repo", 0.25, 0.25)
    assert (second.action.tool_calls, second.observations[0].tool_call_id) == ([], "")
    assert first.model_call is not None
    assert second.model_call is None
    assert made.outcome == Outcome.SOLVED
    assert made.imported is not None
    assert made.imported.left_out["trajectory[].extra_info"] == 2


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("submitted (exit_cost)", Outcome.COST_LIMIT),
        ("exit_context", Outcome.TOKEN_LIMIT),
        ("exit_format", Outcome.AGENT_ERROR),
        ("", Outcome.AGENT_ERROR),
    ],
)
def test_how_swe_agent_ended(status: str, outcome: Outcome):
    assert read(swe_agent(status), SOURCE)[0].outcome == outcome


def test_messages_of_a_dataset():
    row = {
        "messages": json.dumps([
            {"role": "system", "content": "S"}, {"role": "user", "content": "U"},
            {"role": "assistant", "content": "A"}, {"role": "user", "content": "more"},
            {"role": "assistant", "content": [{"type": "text", "text": "B"}, {"type": "image_url", "image_url": {}}]},
        ]),
        "tools": '[{"type": "function", "function": {"name": "f"}}]', "instance_id": "i-1", "resolved": True,
        "model": "m", "patch": "p", "traj_id": "t",
    }  # fmt: skip
    made, name = read(row, SOURCE)
    assert name == "messages"
    assert [step.action.message for step in made.steps] == ["A", "B"]
    assert (made.outcome, made.rollout.task.name, made.patch) == (Outcome.SOLVED, "imported/i-1", "p")
    assert json.loads(made.context.tools)[0]["function"]["name"] == "f"
    assert made.imported is not None
    assert made.imported.left_out == {"traj_id": 1, "content parts: image_url": 1}
    assert read([{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}], SOURCE)[1] == "messages"


def test_atif_of_others():
    document = {
        "schema_version": "ATIF-v1.6",
        "agent": {"name": "terminus", "version": "2", "model_name": "m"},
        "steps": [
            {"step_id": 1, "source": "user", "message": "Mend it."},
            {"step_id": 2, "source": "agent", "message": "ok", "timestamp": "2026-01-01T00:00:00Z",
             "tool_calls": [{"tool_call_id": "c", "function_name": "sh", "arguments": {"k": "ls"}}],
             "observation": {"results": [{"source_call_id": "c", "content": "x"}]},
             "metrics": {"prompt_tokens": 3, "completion_tokens": 2, "cost_usd": 0.001}, "reasoning_effort": "high"},
            {"step_id": 3, "source": "user", "message": "go on"},
            {"step_id": 4, "source": "agent", "message": "done"},
        ],
        "notes": "n",
    }  # fmt: skip
    made, name = read(document, SOURCE)
    assert name == "atif"
    first, second = made.steps
    assert [seen.content for seen in first.observations] == ["x", "go on"]
    assert (first.usage.input_tokens, first.usage.cost_microusd, second.usage.cost_known) == (3, 1000, False)
    assert made.imported is not None
    assert made.imported.left_out == {"notes": 1, "steps[].reasoning_effort": 1}


def test_the_same_document_is_the_same_trajectory_and_labels_change_no_id():
    one, two = read(mini(), SOURCE)[0], read(mini(), Source("b.json", SOURCE.digest, resolved=True))[0]
    assert one.trajectory_id == two.trajectory_id == derived_id("trajectory", one.rollout.rollout_id, 1)
    assert (one.outcome, two.outcome) == (Outcome.UNSOLVED, Outcome.SOLVED)
    elsewhere = read(mini(), Source("b.jsonl", SOURCE.digest, number=1))[0]
    assert elsewhere.trajectory_id == one.trajectory_id
    other = read(mini(), Source("b.json", sha256_digest(b"b")))[0]
    assert other.trajectory_id != one.trajectory_id


def test_lone_surrogates_and_nul_of_a_document_are_kept():
    document = mini()
    document["messages"][2]["content"] = "half \ud800 a pair, and \x00"
    document["instance_id"] = "a\x00b\nc"
    made, _ = read(document, SOURCE)
    assert original(made.steps[0].action.message) == "half \ud800 a pair, and \x00"
    assert made.rollout.task.name == "imported/a b c"
    assert Trajectory.model_validate_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(mini())[:-40], "cut off after"),
        ('{"messages": [', "cut off after"),
        ("", "cut off|no JSON"),
        ("{'a': 1}", "it is no JSON"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        ("[" * 200_000, "nested too deeply"),
        ("{}", "no format that is known"),
        ("7", "no format that is known.*it has int"),
        (json.dumps({**mini(), "trajectory_format": "mini-swe-agent-9"}), "known are 1 and 2"),
        (json.dumps({**mini(), "messages": []}), "it has no messages"),
        (json.dumps({**mini(), "messages": [{"role": "user", "content": "x"}]}), "no turn of an assistant"),
        (json.dumps({**mini(), "messages": [{"role": "robot"}]}), r"messages\[0\] has no role"),
        (json.dumps({**mini(), "messages": ["text"]}), r"messages\[0\] has no role"),
        (json.dumps({**swe_agent(), "trajectory": []}), "has no steps"),
        (json.dumps({**swe_agent(), "trajectory": [{}]}), r"trajectory\[0\] has no action"),
        ('{"schema_version": "ATIF-v9.0"}', "known are"),
        ('{"schema_version": "ATIF-v1.8"}', "agent: Field required"),
        ('{"messages": "[{"}', "no JSON"),
        ('{"messages": {}}', "it has no messages"),
    ],
)
def test_what_is_broken_is_told_in_one_line(text: str | bytes, words: str):
    with pytest.raises(ForeignError, match=words) as told:
        read(load_json(text), SOURCE)
    assert "\n" not in str(told.value)


def test_a_format_may_be_named():
    assert detect(mini()) == "mini-swe-agent"
    assert read(mini(), SOURCE, "messages")[1] == "messages"
    with pytest.raises(ForeignError, match="has no steps"):
        read(mini(), SOURCE, "swe-agent")
