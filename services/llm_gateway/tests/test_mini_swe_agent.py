"""The real mini-swe-agent, in an environment of its own, solves a task through the gateway; usage and ledger agree.

On each wire to the provider that speaks the other one; with FULL=1 also to the one that speaks the same.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_upstream import CACHED, INPUT, KEY, OUTPUT, Answer, two_wires

PINNED = ["mini-swe-agent==2.4.6", "litellm==1.105.3"]
TURNS = [
    "ls -la",
    "cat calc.py",
    "sed -i 's/return a - b/return a + b/' calc.py",
    "python3 -c 'from calc import add; assert add(1, 2) == 3'",
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT",
]


@pytest.fixture(scope="module")
def mini() -> Iterator[Path]:
    """Its command. LiteLLM stays out of our own environment."""
    with tempfile.TemporaryDirectory(prefix="synthbench-mini-") as folder:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, folder, "--allow-existing"], check=True, timeout=60)
        python = Path(folder, "bin", "python")
        subprocess.run([uv, "pip", "install", "-q", "-p", python, *PINNED], check=True, timeout=200)
        yield Path(folder, "bin", "mini")


def next_turn(wire: str, body: dict) -> Answer:
    number = sum(message["role"] == "assistant" for message in body["messages"])
    return Answer(f"THOUGHT: turn {number}", [("bash", {"command": TURNS[number]})])


CROSSED = [("openai", "claude/small"), ("anthropic", "chat/small")]
STRAIGHT = [("openai", "chat/small"), ("anthropic", "claude/small")]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("wire", "provider"), CROSSED + (STRAIGHT if os.environ.get("FULL") == "1" else []))
async def test_it_solves_a_task(mini, start_gateway, upstream, monkeypatch, tmp_path, wire, provider):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.say = next_turn
    work = tmp_path / "work"
    work.mkdir()
    (work / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    result = tmp_path / "run.traj.json"
    async with start_gateway(two_wires(upstream.url)) as gateway:
        base = f"{gateway.url}/v1" if wire == "openai" else gateway.url
        kwargs = {"api_base": base, "api_key": gateway.key(provider), "drop_params": True}
        config = {
            "model": {"model_name": f"{wire}/{provider}", "cost_tracking": "ignore_errors", "model_kwargs": kwargs},
            "environment": {"cwd": str(work)},
        }
        own = tmp_path / "own.yaml"
        own.write_text(json.dumps(config))  # JSON is YAML
        env = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "MSWEA_CONFIGURED": "true", "HF_HUB_OFFLINE": "1",
            "MSWEA_COST_TRACKING": "ignore_errors", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }  # fmt: skip
        command = [mini, "-c", "mini.yaml", "-c", own, "-y", "--exit-immediately", "-t", "Mend add().", "-o", result]
        process = await asyncio.create_subprocess_exec(
            *map(str, command), cwd=work, env=env,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        calls = await gateway.calls()
    assert process.returncode == 0, said.decode()[-3000:]
    assert "return a + b" in (work / "calc.py").read_text(), said.decode()[-3000:]
    usages = list(usages_in(json.loads(result.read_text())))
    assert len(usages) == len(calls) == len(TURNS)
    assert {call["wire"] for call in calls} == {wire}
    ledger = [(call["usage"]["input_tokens"], call["usage"]["output_tokens"]) for call in calls]
    assert [(usage["prompt_tokens"], usage["completion_tokens"]) for usage in usages] == ledger
    assert ledger == [(INPUT, OUTPUT)] * len(TURNS)
    assert {call["usage"]["cached_tokens"] for call in calls} == {CACHED}


def usages_in(value: object) -> Iterator[dict]:
    """Every usage that the trajectory keeps."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "usage" and isinstance(item, dict) and "prompt_tokens" in item:
                yield item
            else:
                yield from usages_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from usages_in(item)
