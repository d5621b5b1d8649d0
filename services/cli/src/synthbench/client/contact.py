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
class Place:
    """The address of a part of a stack, and the environment variable that names it."""

    service: str
    url: str
    variable: str
    elsewhere: bool
    """Whether the variable names it; else it belongs to the stack of this data folder."""


def http_place(endpoints: Endpoints, service: str) -> Place:
    """Return the address of a service's HTTP API."""
    url = {
        "scheduler": endpoints.scheduler_url,
        "collector": endpoints.collector_url,
        "llm_gateway": endpoints.gateway_admin_url,
    }[service]
    return Place(service, url.rstrip("/"), _VARIABLES[service], endpoints.elsewhere)


def bus_place(endpoints: Endpoints) -> Place:
    """Return the address of the bus."""
    return Place("bus", endpoints.nats_url, "SYNTHBENCH_NATS_URL", endpoints.elsewhere)


def unanswered(place: Place, reason: str) -> CliError:
    """Say that nothing answers, and what to do."""
    where = redacted(place.url)
    if place.elsewhere:
        cure = f"start that stack, set {place.variable} anew, or forget it: {FORGET}"
        return CliError(
            f"the {place.service} does not answer at {where}, which {place.variable} names: {reason}; {cure}"
        )
    cure = f"see `synth-bench status` and `synth-bench logs {place.service}`"
    return CliError(f"the {place.service} does not answer at {where}: {reason}; {cure}")


async def require_bus(endpoints: Endpoints) -> None:
    """Try the servers of a comma-separated list; a bus that is not there is known at once, and not after retries.

    Raises:
        CliError: none of them listens.
    """
    place = bus_place(endpoints)
    reasons: list[str] = []
    for server in place.url.split(","):
        address = server.strip()
        try:
            parts = urlsplit(address if "://" in address else f"nats://{address}")
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
    raise unanswered(place, "; ".join(dict.fromkeys(reasons)))
