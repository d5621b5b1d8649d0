"""A stand-in for a provider: a process of its own that takes requests as strictly as the real ones do.

Each request is validated with the OpenAI SDK's own types, tool results without their call (and calls without their
result) are answered with 400, and the key is checked. It plays a small agent that solves simple-task-001.

    python upstream.py PORT_FILE [MODE]

It plays MODE (`solve` by default), and with a model that is named after a mode, as `somebody/empty`, that one.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter, ValidationError

from synthbench.tasks import load_library_task

KEY = "sk-upstream-secret-0123456789"
REQUEST = TypeAdapter(CompletionCreateParamsNonStreaming)
MODES = ("solve", "nonsense", "html", "empty", "bad_json")
DEFAULT = sys.argv[2] if len(sys.argv) > 2 else "solve"


def orphans(messages: list[dict]) -> str:
    """OpenAI's rule: every tool call is answered at once, and nothing answers what was not asked."""
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                return f"tool result for unknown call {message['tool_call_id']}"
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return f"calls without a result: {open_calls}"
        open_calls = [call["id"] for call in message.get("tool_calls") or []]
    return f"calls without a result: {open_calls}" if open_calls else ""


def turns() -> list[list[tuple[str, dict]]]:
    changes = load_library_task("simple-task-001").solution_changes()
    writes = [("write_file", {"path": path, "content": (data or b"").decode()}) for path, data in changes.items()]
    return [
        [("bash", {"command": "ls"}), ("read_file", {"path": "billing/money.py"})],  # two calls in one turn
        writes,
        [("bash", {"command": "python3 -m unittest -q"})],
        [("submit", {"summary": "rounded well"})],
    ]


def mode_of(request: dict) -> str:
    named = request["model"].rpartition("/")[2]
    return named if named in MODES else DEFAULT


def answer(request: dict) -> dict:
    mode = mode_of(request)
    number = sum(message["role"] == "assistant" for message in request["messages"])
    calls = turns()[number] if mode == "solve" else []
    text = "I look." if mode == "solve" else "I would rather talk about the weather."
    if mode == "bad_json":
        calls = [("bash", "{not json")]
    if mode == "empty":
        text = ""
    tool_calls = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for index, (name, given) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": text, **({"tool_calls": tool_calls} if tool_calls else {})}
    body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1,
        "model": f"{request['model']}-2026-01-01",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
    ChatCompletion.model_validate(body)
    return body


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            if self.headers["authorization"] != f"Bearer {KEY}":
                return self.reply(401, {"error": {"message": "wrong key", "type": "auth", "code": "invalid_api_key"}})
            REQUEST.validate_python(request)
        except ValidationError as error:
            return self.refuse(str(error.errors()[0]))
        if problem := orphans(request["messages"]):
            return self.refuse(problem)
        if mode_of(request) == "html":
            return self.raw(200, b"<html>it works</html>")
        return self.reply(200, answer(request))

    def refuse(self, problem: str) -> None:
        self.reply(400, {"error": {"message": problem, "type": "invalid_request_error", "code": "invalid"}})

    def reply(self, status: int, body: dict) -> None:
        self.raw(status, json.dumps(body).encode())

    def raw(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    draft = Path(sys.argv[1] + ".new")
    draft.write_text(str(server.server_port))
    draft.replace(sys.argv[1])
    server.serve_forever()
