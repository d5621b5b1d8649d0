"""Reads the model requests of an agent; a request that cannot be passed on is refused, and the agent is told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from synthbench.contracts.json_limits import JsonLimits
from synthbench.contracts.loose import parse_object
from synthbench.executor.capture.http import AgentHttp
from synthbench.wire.agent_request import AgentRequest
from synthbench.wire.refusal import Refusal
from synthbench.wire.wires import PATHS

_BODY_MOST = 32 * 1024 * 1024
_REQUEST_JSON = JsonLimits(marks=200_000)
_PASSED_IN = ("anthropic-version", "anthropic-beta", "openai-beta")
_HEADER = re.compile(r"[ -~]{0,1000}")


@dataclass(frozen=True)
class AgentModelRequest:
    """A model request of an agent that can be passed on."""

    request: AgentRequest
    body: bytes
    """The request's body in the form for the gateway."""
    headers: Mapping[str, str]


async def read_agent_request(http: AgentHttp, path: str, headers: Mapping[str, str], route: str) -> AgentModelRequest:
    """Read what an agent asks.

    Args:
        http: the exchange, of which only the head was read.
        path: one of `PATHS`.
        headers: by name in lower case.
        route: what the gateway is asked for.

    Raises:
        Refusal: 400 or 413, it cannot be passed on; the message says why.
    """
    content = parse_object(await http.body(_BODY_MOST, _REQUEST_JSON))
    passed = {name: headers[name] for name in _PASSED_IN if name in headers}
    for name, value in passed.items():
        if not _HEADER.fullmatch(value):
            raise Refusal(400, "invalid_request", f"the header {name} is not up to 1,000 visible ASCII characters")
    if not content:
        raise Refusal(400, "invalid_request", "the body is no JSON object")
    request = AgentRequest(PATHS[path], content)
    try:
        return AgentModelRequest(request, request.outgoing(route), passed)
    except ValueError as error:
        problem = "half of a surrogate pair is no text" if isinstance(error, UnicodeError) else "a number is too long"
        raise Refusal(400, "invalid_request", f"the body cannot be sent on: {problem}") from error
