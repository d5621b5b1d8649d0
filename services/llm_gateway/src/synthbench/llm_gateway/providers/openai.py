"""Any OpenAI-compatible API."""

import asyncio
import random
from typing import Any

import httpx

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.loose import as_object, parse_object
from synthbench.llm_gateway.domain.refusal import Refusal
from synthbench.llm_gateway.providers import ProviderAnswer
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.artifacts import ArtifactStore

_TRIES = 3
_TOO_MANY = 429
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 20.0
_CONNECT_SECONDS = 10.0


class OpenAIProvider:
    """Passes requests on as they are, with the deployment's key."""

    name = "openai"
    free = False

    @classmethod
    def make(cls, settings: GatewaySettings, store: ArtifactStore) -> "OpenAIProvider | None":  # noqa: ARG003 - as in `load_providers`
        """None where no upstream is configured."""
        return cls(settings) if settings.upstream_base_url else None

    def __init__(self, settings: GatewaySettings) -> None:
        assert settings.upstream_base_url is not None
        self._url = settings.upstream_base_url.rstrip("/") + "/chat/completions"
        key = settings.upstream_api_key
        self._headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._timeout = httpx.Timeout(settings.upstream_timeout_seconds, connect=_CONNECT_SECONDS)
        self._client: httpx.AsyncClient | None = None

    async def complete(self, request: dict[str, Any], claims: AttemptClaims) -> ProviderAnswer:  # noqa: ARG002 - as in the protocol
        """See `Provider`."""
        for number in range(_TRIES):
            last = number == _TRIES - 1
            try:
                response = await self._open().post(self._url, json=request, headers=self._headers)
            except httpx.TimeoutException as error:
                raise Refusal(
                    504, "upstream_timeout", f"the provider did not answer in time ({type(error).__name__})"
                ) from error
            except httpx.HTTPError as error:
                if last:
                    reason = str(error) or type(error).__name__
                    raise Refusal(502, "upstream_unreachable", f"the provider cannot be reached: {reason}") from error
                await asyncio.sleep(_pause(number, None))
                continue
            if response.is_success:
                return ProviderAnswer(
                    response.content, str(parse_object(response.content).get("model") or request["model"])
                )
            if not last and (response.status_code == _TOO_MANY or response.is_server_error):
                await asyncio.sleep(_pause(number, response.headers.get("retry-after")))
                continue
            raise _refusal(response)
        raise AssertionError("the last try returns or raises")

    def models(self) -> list[str]:
        """The upstream knows; nothing is promised here."""
        return []

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            # PLC0415: aiohttp is only needed where there is an upstream.
            from httpx_aiohttp import HttpxAiohttpClient  # noqa: PLC0415 - only with an upstream

            self._client = HttpxAiohttpClient(timeout=self._timeout)
        return self._client

    async def aclose(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.aclose()


def _pause(number: int, retry_after: str | None) -> float:
    """Seconds until the next try: what the provider asks for, within reason, else doubling with jitter."""
    try:
        return min(_LONGEST_PAUSE, float(retry_after or ""))
    except ValueError:
        return _FIRST_PAUSE * 2**number * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


def _refusal(response: httpx.Response) -> Refusal:
    """A provider's refusal as ours; its key is our business, never the agent's."""
    error = as_object(parse_object(response.content).get("error"))
    message = str(error.get("message") or response.text[:300]).replace("\n", " ")
    status = response.status_code
    if status in (401, 403):
        return Refusal(403, "upstream_credentials", f"the provider refuses this deployment's key ({status}): {message}")
    if status == _TOO_MANY:
        return Refusal(429, "upstream_rate_limit", f"the provider limits the rate: {message}")
    if response.is_client_error:
        return Refusal(
            status, str(error.get("code") or "upstream_refused"), f"the provider refuses the request: {message}"
        )
    return Refusal(502, "upstream_status", f"the provider answers {status}: {message}")
