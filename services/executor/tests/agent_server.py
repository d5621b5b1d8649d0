"""Stands where OpenHands' agent server stands: its HTTP protocol, and a whole agent of thirty lines behind it.

    python agent_server.py --host 127.0.0.1 --port PORT

What it does wrong stands in the file `mode` beside it: see `test_openhands.py`.
"""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

NAMED = Path(__file__).with_name("mode")
MODE = NAMED.read_text() if NAMED.exists() else ""
STATE = {"status": "idle", "deleted": False}
EVENTS: list[dict] = []
PAGE = 2


def note(kind: str, **more) -> None:
    EVENTS.append({"id": f"e{len(EVENTS)}", "kind": kind, **more})


def ask(llm: dict, messages: list[dict]) -> dict:
    body = json.dumps({"model": llm["model"], "messages": messages}).encode()
    request = urllib.request.Request(llm["base_url"] + "/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["choices"][0]["message"]


def work(wanted: dict) -> None:
    STATE["status"] = "running"
    messages = [{"role": "user", "content": wanted["initial_message"]["content"]}]
    try:
        while STATE["status"] == "running":
            message = ask(wanted["agent"]["llm"], messages)
            messages.append(message)
            act(message, messages)
    except urllib.error.HTTPError as error:
        note("ConversationErrorEvent", code="LLMError", detail=error.read().decode())
        STATE["status"] = "error"


def act(message: dict, messages: list[dict]) -> None:
    for call in message.get("tool_calls") or []:
        name, given = call["function"]["name"], json.loads(call["function"]["arguments"])
        note("ActionEvent", source="agent", tool_name=name, tool_call_id=call["id"], action=given)
        note("ObservationEvent", tool_name=name, tool_call_id=call["id"])
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"did {name}"})
        if name == "finish":
            STATE["status"] = "finished"
    if not message.get("tool_calls"):
        note("MessageEvent", source="agent")
        STATE["status"] = "finished"
    if MODE == "die":
        print("out of memory", flush=True)
        os._exit(9)
    if MODE in ("stuck", "paused", "error"):
        STATE["status"] = MODE
    if MODE == "iterations":
        note("ConversationErrorEvent", code="MaxIterationsReached", detail="50 are done")
        STATE["status"] = "error"


class Handler(BaseHTTPRequestHandler):
    def say(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        if where.path == "/ready":
            self.say({"status": "ready"})
        elif where.path.endswith("/events/search"):
            page = parse_qs(where.query).get("page_id", ["e0"])[0]
            first = int(page[1:])
            after = EVENTS[first + PAGE : first + PAGE + 1]
            self.say({"items": EVENTS[first : first + PAGE], "next_page_id": after[0]["id"] if after else None})
        else:
            self.say({"execution_status": STATE["status"]})

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if MODE == "refuse":
            self.say({"detail": "no such tool"}, 422)
            return
        note("SystemPromptEvent")
        threading.Thread(target=work, args=(wanted,), daemon=True).start()
        self.say({"id": "c1"}, 201)

    def do_DELETE(self) -> None:
        print("deleted", flush=True)
        self.say({})


if __name__ == "__main__":
    if MODE == "exit":
        sys.exit("a library is missing")
    if MODE == "silent":
        time.sleep(600)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
