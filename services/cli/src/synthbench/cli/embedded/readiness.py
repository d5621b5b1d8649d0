"""Whether the services of a stack answer."""

import asyncio
from collections.abc import Mapping

import httpx

from synthbench.cli.embedded.layout import Instance, Layout
from synthbench.cli.embedded.loopback import loopback_http

_ASK_SECONDS = 3.0
_READY = 200


async def unready(layout: Layout) -> Mapping[str, str]:
    """Ask every process whether it is ready for work; what is wrong, by process. Empty: all of them are."""
    async with loopback_http(_ASK_SECONDS) as http:
        answers = await asyncio.gather(*(_problem(http, layout, one) for one in layout.ports))
    return {str(one): answer for one, answer in zip(layout.ports, answers, strict=True) if answer}


async def _problem(http: httpx.AsyncClient, layout: Layout, instance: Instance) -> str:
    try:
        response = await http.get(f"{layout.url(instance.service, instance.number)}/readyz")
    except httpx.HTTPError as error:
        return f"does not answer ({type(error).__name__})"
    return "" if response.status_code == _READY else f"is not ready: {response.text[:300]}"
