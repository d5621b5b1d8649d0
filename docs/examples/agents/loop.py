"""A whole agent on Python's standard library: one tool, and it ends when the model calls none."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

BASH = {
    "name": "bash",
    "description": "Run a command in the workspace.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}


def ask(messages):
    body = {"model": "default", "messages": messages, "tools": [{"type": "function", "function": BASH}]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)["choices"][0]["message"]


def run(call):
    try:
        command = json.loads(call["function"]["arguments"])["command"]
    except (ValueError, KeyError, TypeError) as error:
        return f"these arguments cannot be used: {error}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    return f"{done.stdout}{done.stderr}\nexit code {done.returncode}"


messages = [{"role": "user", "content": Path(os.environ["SYNTHBENCH_INSTRUCTION_FILE"]).read_text()}]
while calls := (message := ask(messages)).get("tool_calls"):
    messages.append(message)
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": run(call)} for call in calls]
print(message["content"])
