"""HTTP to the processes of a stack, on the loopback interface and without TLS."""

import ssl

import httpx


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
