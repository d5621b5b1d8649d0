"""The floor of every proxy in Python that uses our HTTP client: it passes bytes on, and does nothing else.

`python passthrough.py PORT UPSTREAM`: no keys, no limits, no usage; server and event loop are the llm-gateway's.
"""

import asyncio
import sys

import uvloop
from httpx import Limits
from httpx_aiohttp import HttpxAiohttpClient
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from synthbench.chassis.listener import Listener


def app(upstream: str) -> Starlette:
    client = HttpxAiohttpClient(limits=Limits(max_connections=512, max_keepalive_connections=512))

    async def complete(request: Request) -> Response:
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        asked = client.build_request(
            "POST", f"{upstream}/chat/completions", content=await request.body(), headers=headers
        )
        answer = await client.send(asked, stream=True)
        kind = answer.headers["content-type"]
        if kind.startswith("text/event-stream"):
            return StreamingResponse(
                answer.aiter_raw(), answer.status_code, media_type=kind, background=BackgroundTask(answer.aclose)
            )
        return Response(await answer.aread(), answer.status_code, media_type=kind)

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


async def main(port: int, upstream: str) -> None:
    await Listener(app(upstream)).serve("127.0.0.1", port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main(int(sys.argv[1]), sys.argv[2]))
