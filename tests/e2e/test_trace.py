"""One trace follows one attempt along the whole road, through every process."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(240)

RECEIVER = Path(__file__).with_name("otlp_receiver.py")


@pytest.fixture
def receiver(tmp_path: Path):
    port_file, spans = tmp_path / "port", tmp_path / "spans.jsonl"
    process = subprocess.Popen([sys.executable, RECEIVER, port_file, spans])
    deadline = time.monotonic() + 30
    while not port_file.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port_file.read_text()}", spans
    process.terminate()
    process.wait(10)


def test_one_attempt_is_one_connected_tree(receiver, data_folders: Path, make_stack):
    endpoint, spans_file = receiver
    stack = make_stack(data_folders / f"trace-{time.time_ns()}", SYNTHBENCH_OTLP_ENDPOINT=endpoint)
    row = json.loads(stack.run("generate-trajectory", "--task", "simple-task-001", "--json").stdout)[0]
    deadline = time.monotonic() + 60
    while (stack.folder / "run" / "status.json").exists():  # services flush their spans when they end
        assert time.monotonic() < deadline
        time.sleep(0.1)

    spans = [json.loads(line) for line in spans_file.read_text().splitlines()]
    agents = [span for span in spans if span["name"].startswith("invoke_agent")]
    assert len(agents) == 1
    mine = [span for span in spans if span["trace"] == agents[0]["trace"]]
    by_id = {span["span"]: span for span in mine}

    # One tree: one root, and everybody's parent is there.
    roots = [span for span in mine if not span["parent"]]
    assert [root["name"] for root in roots] == ["rollout native"]
    assert [span["name"] for span in mine if span["parent"] and span["parent"] not in by_id] == []

    # Six processes took part.
    assert {span["service"] for span in mine} == {
        f"synth-bench-{name}" for name in ("scheduler", "executor", "llm_gateway", "collector", "quality", "diversity")
    }
    assert len({span["process"] for span in mine}) == 6

    # One finished span for each step, each with its model call and its tools inside.
    steps = [span for span in mine if span["name"] == "step"]
    assert sorted(int(step["attributes"]["synthbench.step.index"]) for step in steps) == list(range(row["steps"]))
    assert {step["parent"] for step in steps} == {agents[0]["span"]}
    for step in steps:
        children = [span["name"].split()[0] for span in mine if span["parent"] == step["span"]]
        assert "chat" in children
        assert "execute_tool" in children

    # Names and attributes of the GenAI conventions, on both ends of the wire.
    assert agents[0]["attributes"]["gen_ai.operation.name"] == "invoke_agent"
    assert agents[0]["attributes"]["gen_ai.conversation.id"]
    chats = [span for span in mine if span["name"] == "chat sim/expert"]
    assert {span["service"] for span in chats} == {"synth-bench-executor", "synth-bench-llm_gateway"}
    for chat in chats:
        assert chat["attributes"]["gen_ai.operation.name"] == "chat"
        assert chat["attributes"]["gen_ai.request.model"] == "sim/expert"
        assert int(chat["attributes"]["gen_ai.usage.input_tokens"]) > 0
        assert int(chat["attributes"]["gen_ai.usage.output_tokens"]) > 0
    assert {span["attributes"]["gen_ai.provider.name"] for span in chats if span["service"].endswith("gateway")} == {
        "sim"
    }
    tools = [span for span in mine if span["name"].startswith("execute_tool")]
    assert {span["attributes"]["gen_ai.tool.name"] for span in tools} >= {"bash", "edit_file", "submit"}
    assert [span["name"] for span in mine if span["error"]] == []
    # The end of the road belongs to it, too.
    assert {"process trajectory.done", "process trajectory.scored", "process trajectory.curated"} <= {
        s["name"] for s in mine
    }
