"""Providers behind HTTP: one transport, and what differs between vendors as small classes.

Requests go straight to httpx's transport. Its client would put cookies of one attempt's answers into the next one's
requests, follow redirects with our key, and take as long for that as for the exchange itself.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from time import monotonic
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import httpx
import orjson

from synthbench.chassis.errors import SettingsError
from synthbench.llm_gateway.domain.base_urls import BaseUrls
from synthbench.wire.failures import (
    UNREACHABLE,
    Failure,
    TryFailed,
    failure_of_status,
    reset,
    timed_out,
    unreachable,
    unusable,
)
from synthbench.wire.providers import ProviderConfig, ProviderRequest, ProviderResponse
from synthbench.wire.whole_answers import whole_answer
from synthbench.wire.wires import WIRES

if TYPE_CHECKING:
    from aiohttp import ClientConnectorError

_CONNECT_SECONDS = 10.0
_CHECK_SECONDS = 2.0
_ERROR_BYTES = 65536


class HttpProvider:
    """Sends requests as they are, with the deployment's key."""

    wire = "openai"
    free = False
    base_url: str | None = None
    """Where the vendor is, unless told otherwise."""
    path = "/chat/completions"
    telemetry_name: str | None = None
    """As OpenTelemetry's conventions call the vendor; the provider's own name where they do not."""

    @classmethod
    def make(cls, config: ProviderConfig) -> "HttpProvider":
        """Make the provider.

        Raises:
            SettingsError: there is no base URL.
        """
        return cls(config)

    def __init__(self, config: ProviderConfig) -> None:
        bases = config.base_urls or ((self.base_url,) if self.base_url else ())
        if not bases:
            raise SettingsError(f"provider {config.name!r} needs a base_url, such as http://127.0.0.1:8000/v1")
        self.name = self.telemetry_name or config.name
        self._places = BaseUrls([base.rstrip("/") for base in bases])
        self._headers = self._credentials(config.key.get_secret_value() if config.key else "")
        self._most = config.max_answer_bytes
        self._connections = config.connections
        self._transport: httpx.AsyncBaseTransport | None = None

    def _credentials(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def _more_headers(self, request: ProviderRequest) -> Mapping[str, str]:  # noqa: ARG002 - vendors do
        return {}

    async def send(self, request: ProviderRequest) -> ProviderResponse:
        """Send a request to the attempt's own server, or to the next one where nobody is there.

        Raises:
            TryFailed: no answer came.
        """
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            **self._more_headers(request),
            **self._headers,
        }
        silence = min(request.timeout, request.idle) if request.stream else request.timeout
        try:
            # The transport counts each read alone; this bounds the whole, up to the headers of a stream.
            async with asyncio.timeout(request.timeout):
                response = await self._posted(request, headers, silence)
                if request.stream and response.is_success and _is_stream(response):
                    return HttpResponseStream(response, self._most)
                whole = await _whole(response, self._most if response.is_success else _ERROR_BYTES)
                return self._put_together(whole) if _is_stream(response) else whole
        except TimeoutError as error:
            raise TryFailed(timed_out(f"nothing within {request.timeout:.0f} s")) from error
        except httpx.HTTPError as error:
            raise TryFailed(_failure(error)) from error

    async def _posted(self, request: ProviderRequest, headers: Mapping[str, str], silence: float) -> httpx.Response:
        """Ask the attempt's own place; where nobody is there, nothing was sent, and the next one is asked."""
        claims = request.claims
        order = self._places.order(f"{claims.rollout_id}/{claims.attempt}", monotonic())
        for left, base in zip(range(len(order) - 1, -1, -1), order, strict=True):
            try:
                return await self._exchange("POST", base + self.path, headers, silence, request.body)
            except httpx.HTTPError as error:
                if not left or _failure(error).refusal.code != UNREACHABLE:
                    raise
                self._places.away(base, monotonic())
        raise AssertionError("the last one is asked or raises")

    def _put_together(self, response: ProviderResponse) -> ProviderResponse:
        """A stream that nobody asked for, as the answer that it is; what is none stays as it came."""
        answer = whole_answer(self.wire, response.body, stream=True)
        return replace(response, body=orjson.dumps(answer)) if WIRES[self.wire].is_answer(answer) else response

    def models(self) -> list[str]:
        """Return none: only the upstream knows them."""
        return []

    async def check(self) -> None:
        """Ask every server for its list of models: any answer will do, for it says that somebody is there.

        Raises:
            ConnectionError: a server answers with an error of its own.
        """
        for base in self._places.bases:
            response = await self._exchange("GET", f"{base}/models", self._headers, _CHECK_SECONDS)
            await response.aclose()
            if response.is_server_error:
                raise ConnectionError(f"{base}/models answers {response.status_code}")

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], silence: float, body: bytes | None = None
    ) -> httpx.Response:
        """Send a request; return the answer when its headers are there."""
        timeout = {"connect": min(_CONNECT_SECONDS, silence), "read": silence, "pool": silence}
        request = httpx.Request(method, _parsed(url), headers=headers, content=body, extensions={"timeout": timeout})
        return await self._open().handle_async_request(request)

    def _open(self) -> httpx.AsyncBaseTransport:
        if self._transport is None:
            # PLC0415: aiohttp is only needed where there is an upstream.
            from aiohttp import ClientSession, DummyCookieJar, TCPConnector  # noqa: PLC0415 - only with an upstream
            from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415 - only with an upstream

            trust = _trust()
            connector = TCPConnector(limit=self._connections, ssl=trust)
            session = ClientSession(connector=connector, cookie_jar=DummyCookieJar())
            proxy = _proxy_for(httpx.URL(self._places.bases[0]))
            self._transport = AiohttpTransport(client=session, verify=trust, proxy=proxy)
        return self._transport

    async def aclose(self) -> None:
        """Close all connections."""
        if self._transport is not None:
            await self._transport.aclose()


class HttpResponseStream(ProviderResponse):
    """A stream that is read as it comes."""

    def __init__(self, response: httpx.Response, most: int) -> None:
        super().__init__(response.status_code, pieces=self._read())
        self._response = response
        self._most = most

    async def _read(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.aiter_raw():
                yield piece
        except httpx.HTTPError as error:
            raise TryFailed(_failure(error)) from error

    async def aclose(self) -> None:
        """Give the connection back, or break it off where the stream is not over."""
        with suppress(httpx.HTTPError, OSError):
            await self._response.aclose()


def _proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …), as httpx's client would take it."""
    named = getproxies()
    found = named.get(url.scheme) or named.get("all")
    return httpx.Proxy(found) if found and not proxy_bypass(url.host) else None


@cache
def _trust() -> ssl.SSLContext:
    """The authorities that all providers trust; reading their file takes 20 ms of CPU."""
    return httpx.create_ssl_context()


@lru_cache(maxsize=1024)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _is_stream(response: httpx.Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")


async def _whole(response: httpx.Response, most: int) -> ProviderResponse:
    body = bytearray()
    try:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > most:
                if response.is_success:
                    raise TryFailed(unusable(f"the provider's answer is larger than {most} bytes"))
                break
    finally:
        with suppress(httpx.HTTPError, OSError):
            await response.aclose()
    if not response.is_success:
        failure = failure_of_status(response.status_code, response.headers, bytes(body), datetime.now(UTC))
        raise TryFailed(failure)
    return ProviderResponse(response.status_code, bytes(body))


def _failure(error: httpx.HTTPError) -> Failure:
    """Return the failure that a broken exchange means.

    The transport calls every lost connection a failure to connect; aiohttp's own exception tells whether there was
    one: after that the provider may have done the work.
    """
    # PLC0415: aiohttp is only needed where there is an upstream.
    from aiohttp import ClientConnectorError, ConnectionTimeoutError  # noqa: PLC0415 - only with an upstream

    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.PoolTimeout | httpx.UnsupportedProtocol):
        return unreachable(reason)
    if isinstance(error.__cause__, ClientConnectorError):
        return unreachable(_no_connection(error.__cause__))
    if isinstance(error.__cause__, ConnectionTimeoutError):
        return unreachable(reason)
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return timed_out(type(error).__name__)
    return reset(reason)


def _no_connection(error: "ClientConnectorError") -> str:
    """Why there is none, in the words of people: aiohttp's name its own options."""
    where, cause = f"{error.host}:{error.port}", error.os_error
    if isinstance(cause, ConnectionRefusedError):
        return f"connection refused by {where}"
    if isinstance(cause, socket.gaierror):
        return f"the name {error.host} cannot be resolved"
    return f"no connection to {where}: {cause.strerror or cause}"


class OpenAIProvider(HttpProvider):
    """OpenAI, and whatever speaks like it: vLLM, Ollama, llama.cpp."""

    base_url = "https://api.openai.com/v1"


class OpenRouterProvider(HttpProvider):
    """OpenRouter, which speaks like OpenAI."""

    base_url = "https://openrouter.ai/api/v1"


class GoogleProvider(HttpProvider):
    """Gemini, by Google's OpenAI-compatible endpoint."""

    base_url = "https://generativelanguage.googleapis.com/v1beta/openai"
    telemetry_name = "gcp.gemini"


class AnthropicProvider(HttpProvider):
    """Anthropic's messages, and whatever speaks like it."""

    wire = "anthropic"
    base_url = "https://api.anthropic.com/v1"
    path = "/messages"

    def _credentials(self, key: str) -> dict[str, str]:
        return {"x-api-key": key} if key else {}

    def _more_headers(self, request: ProviderRequest) -> Mapping[str, str]:
        return {"anthropic-version": "2023-06-01", **request.headers}
