"""A model of zero latency: an OpenAI-compatible server that walks a script; the turn is the number of answers so far.

`python upstream.py PORT SCRIPT.json`: a list of turns, each a list of [tool, arguments], or a text. Run as a process of
its own.
"""

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import web


def answer(script: list, body: dict) -> dict:
    turn = sum(message.get("role") == "assistant" for message in body["messages"])
    said = script[min(turn, len(script) - 1)]
    text, calls = (said, []) if isinstance(said, str) else (f"Step {turn}.", said)
    message: dict = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{turn}_{number}", "type": "function",
             "function": {"name": name, "arguments": json.dumps(arguments)}}
            for number, (name, arguments) in enumerate(calls)
        ]  # fmt: skip
    return {
        "id": f"chat-{turn}", "object": "chat.completion", "created": 0, "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }  # fmt: skip


async def main(port: int, script: list) -> None:
    async def complete(request: web.Request) -> web.Response:
        return web.json_response(answer(script, await request.json()))

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
