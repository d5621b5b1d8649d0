"""The first contact with a stack: a dead address is one line that names the variable and the cure, within seconds."""

import asyncio
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from synthbench.chassis.redaction import redacted
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError

_PORT = 4222
_SECONDS = 3.0
FORGET = 'eval "$(synth-bench env --unset)"'
"""Shell command that makes a shell forget the stack that its variables name."""
_VARIABLES = {
    "scheduler": "SYNTHBENCH_SCHEDULER_URL",
    "collector": "SYNTHBENCH_COLLECTOR_URL",
    "llm_gateway": "SYNTHBENCH_GATEWAY_ADMIN_URL",
}


@dataclass(frozen=True)
class StackAddress:
    """The address of a part of a stack, and the environment variable that names it."""

    service: str
    url: str
    variable: str
    elsewhere: bool
    """Whether the variable names it; else it belongs to the stack of this data folder."""


def http_address(endpoints: Endpoints, service: str) -> StackAddress:
    """Return the address of a service's HTTP API."""
    url = {
        "scheduler": endpoints.scheduler_url,
        "collector": endpoints.collector_url,
        "llm_gateway": endpoints.gateway_admin_url,
    }[service]
    return StackAddress(service, url.rstrip("/"), _VARIABLES[service], endpoints.elsewhere)


def bus_address(endpoints: Endpoints) -> StackAddress:
    """Return the address of the bus."""
    return StackAddress("bus", endpoints.nats_url, "SYNTHBENCH_NATS_URL", endpoints.elsewhere)


def unanswered(address: StackAddress, reason: str) -> CliError:
    """Return the error of an address where nothing answers, with the cure."""
    where = redacted(address.url)
    if address.elsewhere:
        cure = f"start that stack, set {address.variable} anew, or forget it: {FORGET}"
        return CliError(
            f"the {address.service} does not answer at {where}, which {address.variable} names: {reason}; {cure}"
        )
    cure = f"see `synth-bench status` and `synth-bench logs {address.service}`"
    return CliError(f"the {address.service} does not answer at {where}: {reason}; {cure}")


async def require_bus(endpoints: Endpoints) -> None:
    """Try the servers of a comma-separated list; a bus that is not there is known at once, and not after retries.

    Raises:
        CliError: none of them listens.
    """
    address = bus_address(endpoints)
    reasons: list[str] = []
    for server in address.url.split(","):
        url = server.strip()
        try:
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            host, port = parts.hostname or "", parts.port or _PORT
            async with asyncio.timeout(_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            reasons.append(f"no answer within {_SECONDS:g} s")
        except OSError as error:
            reasons.append(os.strerror(error.errno) if error.errno else str(error))
        except ValueError as error:
            reasons.append(str(error))
        else:
            writer.close()
            return
    raise unanswered(address, "; ".join(dict.fromkeys(reasons)))
