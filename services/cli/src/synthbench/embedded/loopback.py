"""HTTP to the processes of a stack, on the loopback interface and without TLS."""

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from synthbench.embedded.layout import Instance, Layout

_READINESS_SECONDS = 3.0
_OK = 200


def loopback_http(timeout: float, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """Return a client that goes through no proxy and reads no certificates.

    By default each new client reads the file of all authorities: some 20 ms of CPU several times a second, and an
    `OSError` without a file's name when the installation is replaced while a stack runs.

    Args:
        timeout: of a request, in seconds.
        headers: of every request.
    """
    trusts_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(timeout=timeout, headers=headers, trust_env=False, verify=trusts_nobody)


async def not_ready(layout: Layout) -> Mapping[str, str]:
    """Ask every process of a stack for `/readyz`; return why some are not ready for work, by process."""
    async with loopback_http(_READINESS_SECONDS) as http:
        answers = await asyncio.gather(*(_problem(http, layout, one) for one in layout.ports))
    return {str(one): answer for one, answer in zip(layout.ports, answers, strict=True) if answer}


async def _problem(http: httpx.AsyncClient, layout: Layout, instance: Instance) -> str:
    try:
        response = await http.get(f"{layout.url(instance.service, instance.number)}/readyz")
    except httpx.HTTPError as error:
        return f"does not answer ({type(error).__name__})"
    return "" if response.status_code == _OK else f"is not ready: {response.text[:300]}"
