"""What agents write beside the plain conversation comes into the record, or is named as left out."""

import json
from typing import Any

import pytest

from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.records import Outcome
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.trajectory import Trajectory
from synthbench.contracts.verification import VerificationResult
from synthbench.datasets.formats.atif_mapping import to_atif
from synthbench.datasets.formats.export import export_text, file_name
from synthbench.datasets.formats.foreign import ForeignError, Source, digest_of, load_json, read
from synthbench.datasets.formats.messages import to_messages

DIGEST = sha256_digest(b"a")


def imported(document: Any, file: str = "a.json", **told: Any) -> Trajectory:
    return read(json.loads(json.dumps(document)), Source(file, DIGEST, **told))[0]


def left_out(record: Trajectory) -> dict[str, int]:
    assert record.imported is not None
    return dict(record.imported.left_out)


def mini(*messages: dict[str, Any], **info: Any) -> dict[str, Any]:
    begin = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    told = {"exit_status": "Submitted", "submission": "d", **info}
    return {"trajectory_format": "mini-swe-agent-1.1", "info": told, "messages": [*begin, *messages]}


def answered(**message: Any) -> dict[str, Any]:
    whole = {"role": "assistant", "content": "T", **message}
    return {"role": "assistant", "content": "T", "extra": {"response": {"model": "m", "choices": [{"message": whole}]}}}


@pytest.mark.parametrize(
    "beside",
    [
        {"reasoning": "HARD"},
        {"reasoning_content": "HARD"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "HA"}, {"type": "reasoning.text", "text": "RD"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "HARD", "signature": "s"}]},
        {"provider_specific_fields": {"reasoning_content": "HARD"}},
        {"content": [{"type": "thinking", "thinking": "HARD"}, {"type": "text", "text": "T"}]},
    ],
)
def test_reasoning_of_a_raw_response_is_in_action_atif_and_messages(beside: dict[str, Any]):
    record = imported(mini(answered(**beside)))
    assert record.steps[0].action.reasoning == "HARD"
    assert [step.reasoning_content for step in to_atif(record).steps] == [None, None, "HARD"]
    assert to_messages(record)["messages"][2] == {"role": "assistant", "content": "T", "reasoning_content": "HARD"}


def test_reasoning_of_an_earlier_turn_is_in_the_messages_although_the_request_had_none():
    turns = [answered(reasoning="first"), {"role": "user", "content": "go on"}, answered(reasoning="second")]
    said = to_messages(imported(mini(*turns)))["messages"]
    assert [one.get("reasoning_content") for one in said] == [None, None, "first", None, "second"]


@pytest.mark.parametrize(
    ("extra", "shown", "code", "error", "content"),
    [
        ({"returncode": -1, "raw_output": "...."}, "<exception>timed out</exception>", -1, "timeout", "...."),
        ({"returncode": -1, "exception_info": "no such container"}, "no such container", -1, "exception", None),
        ({"returncode": -1, "exception_info": "action was not executed"}, "not", -1, "not_executed", None),
        ({"returncode": 3, "raw_output": "ab"}, "<output>ab</output>", 3, None, None),
        ({"returncode": 0, "raw_output": "whole of it"}, "who...", 0, None, "whole of it"),
        ({"returncode": 10**30}, "text", None, None, None),
    ],
)
def test_how_a_command_of_mini_2_ended(
    extra: dict, shown: str, code: int | None, error: str | None, content: str | None
):
    call = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": '{"command": "x"}'}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    record = imported(mini(turn, {"role": "tool", "tool_call_id": "c", "content": shown, "extra": extra}))
    (seen,) = record.steps[0].observations
    assert (seen.exit_code, seen.error, seen.content) == (code, error, content or shown)
    assert seen.shown == (shown if content else None)
    assert to_messages(record)["tools"][0]["function"]["name"] == "bash"


@pytest.mark.parametrize(
    ("stats", "known", "microusd", "calls"),
    [
        ({"instance_cost": 0.25, "api_calls": 7}, True, 250_000, 7),
        ({"instance_cost": 0, "api_calls": 0}, False, 0, 1),
        ({"instance_cost": "much"}, False, 0, 1),
        ({"instance_cost": 1e300}, False, 0, 1),
    ],
)
def test_cost_of_a_whole_run_is_known_only_where_it_is_told(stats: dict, known: bool, microusd: int, calls: int):
    usage = imported(mini(answered(), model_stats=stats)).usage
    assert (usage.cost_known, usage.cost_microusd, usage.calls) == (known, microusd, calls)


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_number_that_is_not_finite_is_one_line_of_what_was_left_out(number: str):
    document = json.dumps(mini({"role": "assistant", "content": "x", "extra": {"cost": 0.125}})).replace(
        "0.125", number
    )
    record, _ = read(load_json(document), Source("a.json", DIGEST))
    assert left_out(record)["numbers that are not finite (NaN, Infinity)"] == 1
    assert record.usage.cost_known is False
    json.loads(export_text(record, "json"), parse_constant=pytest.fail)


def test_a_number_of_thousands_of_digits_is_refused_in_one_line():
    with pytest.raises(ForeignError, match="no JSON that can be read"):
        load_json("[" + "9" * 5000 + "]")


def test_system_messages_have_a_blank_line_between_them():
    record = imported([
        {"role": "system", "content": "one"}, {"role": "developer", "content": "two"}, {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
    ])  # fmt: skip
    assert record.context.system_prompt == "one\n\ntwo"


def test_the_same_document_with_other_whitespace_and_order_has_the_same_digest():
    document = mini(answered())
    other = dict(reversed(document.items()))
    assert digest_of(load_json(json.dumps(document, indent=3))) == digest_of(load_json(json.dumps(other)))
    assert digest_of(document) != digest_of(mini(answered(), submission="e"))


def swe_agent(**changes: Any) -> dict[str, Any]:
    call = {"id": "toolu_1", "type": "function", "function": {"name": "edit", "arguments": '{"path": "a"}'}}
    turn = {"action": "edit a", "observation": "1 x", "response": "View.", "thought": "View.", "state": {}}
    return {
        "environment": "swe_main",
        "trajectory": [turn],
        "history": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "A DEMONSTRATION", "is_demo": True},
            {"role": "assistant", "content": "demo", "action": "demo", "is_demo": True},
            {"role": "user", "content": "THE ISSUE"},
            {"role": "assistant", "content": "View.", "action": "edit a", "tool_calls": [call]},
            {"role": "tool", "content": [{"type": "text", "text": "OBSERVATION:\n1 x"}], "tool_call_ids": ["toolu_1"]},
        ],
        "info": {"exit_status": "submitted", "submission": "d", "model_stats": {
            "instance_cost": 1.5, "tokens_sent": 1000, "tokens_received": 50, "api_calls": 9}},
        "replay_config": json.dumps({"agent": {"model": {"name": "vendor/m"}}}),
        **changes,
    }  # fmt: skip


def test_a_demonstration_is_in_the_request_and_not_in_the_instruction():
    record = imported(swe_agent(), "org__repo-2.traj")
    assert (record.context.system_prompt, record.context.instruction) == ("S", "THE ISSUE")
    said = to_messages(record)["messages"]
    assert [one["role"] for one in said] == ["system", "user", "assistant", "user", "assistant", "tool"]
    assert imported(load_json(export_text(record, "messages"))).context.instruction == "THE ISSUE"


def test_a_demonstration_without_a_mark_is_known_by_its_first_words():
    document = swe_agent()
    document["history"][1:3] = [{"role": "user", "content": "Here is a demonstration of how to do it."}]
    assert imported(document).context.instruction == "THE ISSUE"


def test_calls_of_the_history_keep_their_names_ids_and_answers():
    record = imported(swe_agent())
    (call,), (seen,) = record.steps[0].action.tool_calls, record.steps[0].observations
    assert (call.id, call.name, call.arguments) == ("toolu_1", "edit", '{"path": "a"}')
    assert (seen.tool_call_id, seen.content, seen.shown) == ("toolu_1", "1 x", "OBSERVATION:\n1 x")
    assert left_out(record)["tools: called, and their schemas are not told"] == 1


@pytest.mark.parametrize("key", ["messages", "query"])
def test_requests_of_a_step_are_kept_under_both_names(key: str):
    document = swe_agent()
    document["trajectory"][0][key] = [{"role": "system", "content": "S"}, {"role": "user", "content": "asked"}]
    call = imported(document).steps[0].model_call
    assert call is not None
    assert [one["content"] for one in json.loads(call.messages)] == ["S", "asked"]
    assert (call.model, call.whole) == ("vendor/m", False)


def test_a_request_that_does_not_go_on_from_the_one_before_is_whole():
    document = swe_agent(history=[])
    turn = document["trajectory"][0]
    requests = [["a"], ["a", "View.", "b"], ["short"]]
    document["trajectory"] = [
        {**turn, "query": [{"role": "user", "content": text} for text in texts]} for texts in requests
    ]
    calls = [step.model_call for step in imported(document).steps]
    assert [call.whole for call in calls if call] == [False, False, True]
    assert [len(json.loads(call.messages)) for call in calls if call] == [1, 2, 1]


@pytest.mark.parametrize(
    ("file", "environment", "task"),
    [
        ("org__repo-2.traj", "swe_main", "org__repo-2"),
        ("org__repo-2.traj", "org__repo-9", "org__repo-2"),
        ("all.jsonl", "org__repo-9", "org__repo-9"),
        ("org__repo-2.json", "swe_main", "org__repo-2"),
        ("a.b__c-1.2.traj", "", "a.b__c-1.2"),
    ],
)
def test_a_task_of_swe_agent_is_named_by_its_file(file: str, environment: str, task: str):
    assert imported(swe_agent(environment=environment), file).rollout.task.name == f"imported/{task}"


def test_usage_of_swe_agent_is_that_of_the_whole():
    usage = imported(swe_agent()).usage
    assert (usage.calls, usage.input_tokens, usage.output_tokens) == (9, 1000, 50)
    assert (usage.cost_microusd, usage.cost_known) == (1_500_000, True)
    assert imported(swe_agent(info={"exit_status": "submitted"})).usage.cost_known is False


def test_what_atif_says_and_the_record_does_not_is_named():
    document = {
        "schema_version": "ATIF-v1.8",
        "agent": {"name": "a", "version": "1", "extra": {"p": 1}},
        "steps": [
            {"step_id": 1, "source": "user", "message": "U"},
            {"step_id": 2, "source": "agent", "message": "A", "extra": {"k": 1},
             "tool_calls": [{"tool_call_id": "c", "function_name": "f", "arguments": {}, "extra": {"k": 1}}],
             "observation": {"results": [{"content": "x", "extra": {"k": 1}}]},
             "metrics": {"prompt_tokens": 1, "prompt_token_ids": [1], "completion_token_ids": [2], "logprobs": [-1.0]}},
            {"step_id": 3, "source": "system", "message": "short now", "observation": {"results": [
                {"subagent_trajectory_ref": [{"trajectory_path": "sub.json"}]}]}},
            {"step_id": 4, "source": "agent", "message": "B"},
        ],
        "final_metrics": {"total_prompt_tokens": 120, "total_cost_usd": 0.5, "extra": {"k": 1}},
    }  # fmt: skip
    record = imported(document)
    assert set(left_out(record)) == {
        "agent.extra", "final_metrics.extra", "steps[].extra", "steps[].tool_calls[].extra",
        "steps[].observation.results[].extra", "steps[].observation.results[].subagent_trajectory_ref",
        "steps[].metrics.prompt_token_ids", "steps[].metrics.completion_token_ids", "steps[].metrics.logprobs",
    }  # fmt: skip
    assert record.steps[0].observations[0].tool_call_id == "c"
    assert [one["role"] for one in to_messages(record)["messages"]] == [
        "user",
        "assistant",
        "tool",
        "system",
        "assistant",
    ]
    assert (record.usage.input_tokens, record.usage.cost_microusd, record.usage.cost_known) == (120, 500_000, True)


@pytest.mark.parametrize("form", ["json", "atif", "messages"])
@pytest.mark.parametrize(("reward", "outcome"), [(1.0, Outcome.SOLVED), (None, Outcome.UNSOLVED)])
def test_a_simulated_run_comes_back_simulated_under_its_own_task(form: str, reward: float | None, outcome: Outcome):
    record = imported(mini(answered()))
    rollout = record.rollout.model_copy(
        update={"simulated": True, "task": record.rollout.task.model_copy(update={"name": "simple-task-001"})}
    )
    verified = None if reward is None else VerificationResult(reward=reward)
    ran = record.model_copy(
        update={
            "rollout": rollout,
            "imported": None,
            "verification": verified,
            "outcome": outcome,
            "reward": reward or 0,
        }
    )
    back = imported(load_json(export_text(ran, form)))
    assert back.imported is not None
    assert (back.rollout.simulated, back.rollout.task.name) == (True, "simple-task-001")
    assert (back.imported.resolved, back.outcome) == (True if reward else None, outcome)
    assert (back.verification, back.reward) == (None, 0.0)


@pytest.mark.parametrize("form", ["json", "atif", "messages"])
def test_the_sampling_parameters_that_were_asked_for_come_back(form: str):
    record = imported(mini(answered()))
    asked = Sampling(temperature=0.25, seed=7, reasoning_effort="high", extra_body={"top_k": "40"})
    rollout = record.rollout.model_copy(update={"sampling": asked})
    ran = record.model_copy(update={"rollout": rollout, "imported": None})
    text = export_text(ran, form)
    assert '"temperature":0.25' in text.replace(": ", ":")
    assert imported(load_json(text)).rollout.sampling == asked


def test_sampling_parameters_that_are_none_are_refused_by_name():
    row = json.loads(export_text(imported(mini(answered())), "messages"))
    row["synthbench"]["sampling"] = {"temperature": "hot"}
    with pytest.raises(ForeignError, match=r"synthbench\.sampling: temperature"):
        imported(row)


def test_a_simulated_model_is_known_by_its_route():
    assert imported(mini(answered()), model="sim/expert").rollout.simulated


def test_exports_of_two_trajectories_of_one_task_have_names_of_their_own():
    one = imported(mini(answered()), task="org/repo 1")
    other = read(mini(answered()), Source("a.json", sha256_digest(b"b"), task="org/repo 1"))[0]
    names = {file_name(record, form) for record in (one, other) for form in ("atif", "messages")}
    assert len(names) == 4
    assert all(name.startswith("org_repo_1-") and "/" not in name for name in names)
