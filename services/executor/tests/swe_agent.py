"""Stands where SWE-agent's `sweagent/run/run_single.py` stands: asks the model until it submits, and leaves a .traj.

What it does wrong stands in the file `mode` beside it: the exit status, `crash` or `no traj`.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

MODE = Path(__file__).with_name("mode").read_text()
HOME = Path("/root/state.json")
CONFIG = json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
OUT = Path(sys.argv[sys.argv.index("--output_dir") + 1], "task", "task.traj")


def ask(messages: list[dict]) -> dict:
    body = json.dumps({"model": CONFIG["agent"]["model"]["name"], "messages": messages}).encode()
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
        return json.load(answer)["choices"][0]["message"]


def main() -> None:
    assert Path(os.environ["SWE_AGENT_TRAJECTORY_DIR"]).is_dir()
    HOME.write_text("{}")
    messages = [{"role": "user", "content": CONFIG["problem_statement"]["text"]}]
    steps, status = [], None
    while status is None:
        try:
            message = ask(messages)
        except urllib.error.HTTPError:
            message, status = {"tool_calls": []}, "exit_error"
        messages.append(message)
        for call in message["tool_calls"]:
            name = call["function"]["name"]
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"did {name}"})
            steps.append({"action": name, "query": messages})
            status = (MODE or "submitted") if name == "submit" else None
        if MODE == "crash":
            sys.exit("it broke")
        if MODE != "no traj":
            OUT.parent.mkdir(parents=True, exist_ok=True)
            OUT.write_text(json.dumps({"trajectory": steps, "info": {"exit_status": status}}))


main()
