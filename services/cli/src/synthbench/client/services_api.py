"""The services' HTTP APIs: requests that say what they wait for, and failures that are one line."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import httpx

from synthbench.client.contact import StackAddress, http_address, unanswered
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.client.waiting import Say, Waiting, say_nothing
from synthbench.contracts.loose import as_list, as_object, parse_object

REQUEST_SECONDS = 10.0
_CONNECT_SECONDS = 3.0
_STARTING_SECONDS = 20.0
_ELSEWHERE_SECONDS = 3.0
_LINES_SECONDS = 300.0
_PAUSE_SECONDS = 0.1
_SHOWN = 200
_NOT_FOUND = 404
_NOT_READY = 503
_TOO_MANY = 429


def problem_of(response: httpx.Response, text: str) -> str:
    """Say in one line why a service refused: its own words, without JSON or HTML around them.

    Args:
        response: with an error status.
        text: its body.
    """
    detail: object = parse_object(text).get("detail")
    if faults := [as_object(one) for one in as_list(detail)]:  # FastAPI's list of what is wrong with which parameter
        named = [(".".join(str(part) for part in as_list(one.get("loc"))[1:]), one.get("msg")) for one in faults]
        detail = "; ".join(f"{where}: {why}" if where else f"{why}" for where, why in named)
    if isinstance(detail, str) and detail:
        return " ".join(detail.split())[: 10 * _SHOWN]
    return f"{response.status_code} {response.reason_phrase}".strip()


def open_http(endpoints: Endpoints) -> httpx.AsyncClient:
    """Return an HTTP client, to be closed, that shows the services of a stack its token."""
    token = endpoints.api_token
    auth = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    timeout = httpx.Timeout(REQUEST_SECONDS, connect=_CONNECT_SECONDS)
    return httpx.AsyncClient(timeout=timeout, headers=auth, trust_env=False)


class ServicesApi:
    """Asks the services of one stack.

    Args:
        endpoints: where they are.
        http: a client that has their token.
        still_there: raises CliError when the stack is known to have ended.
        say: takes warnings of the services, and what a long wait is for.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        http: httpx.AsyncClient,
        still_there: Callable[[], None] | None,
        say: Say = say_nothing,
    ) -> None:
        self.endpoints = endpoints
        self._say = say
        self._http = http
        self._still_there = still_there or (lambda: None)
        self._met: set[str] = set()

    def _address(self, service: str) -> StackAddress:
        address = http_address(self.endpoints, service)
        if not address.url:
            raise CliError(f"where the {service} is, is not known; set {address.variable}")
        return address

    async def _meet(self, address: StackAddress) -> None:
        """Check that a service which the environment names answers at all, before it gets long to answer.

        Raises:
            CliError: it does not.
        """
        if not address.elsewhere or address.url in self._met:
            return
        deadline = time.monotonic() + _ELSEWHERE_SECONDS
        while True:
            left = max(0.1, deadline - time.monotonic())
            try:
                await self._http.get(f"{address.url}/livez", timeout=left)
                break
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if not isinstance(error, httpx.ConnectError) or time.monotonic() + _PAUSE_SECONDS > deadline:
                    raise unanswered(address, str(error) or type(error).__name__) from error
            await asyncio.sleep(_PAUSE_SECONDS)
        self._met.add(address.url)

    async def find(
        self,
        path: str,
        *,
        service: str = "collector",
        params: Mapping[str, Any] | None = None,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
        seconds: float = REQUEST_SECONDS,
    ) -> Any:
        """GET a JSON document, or what another method answers; None where there is none.

        Args:
            path: below the service's address.
            service: which one.
            params: of the query; those that are None are left out.
            method: of HTTP.
            body: sent as JSON.
            seconds: that one answer may take.

        Raises:
            CliError: the service does not answer, or refuses.
        """
        address = self._address(service)
        await self._meet(address)
        response = await self._answer(address, path, params, method, body, seconds)
        if response.status_code == _NOT_FOUND:
            return None
        if response.is_error:
            raise CliError(f"the {service} refused {path}: {problem_of(response, response.text)}")
        answer = response.json()
        for warning in as_list(as_object(answer).get("warnings")):
            self._say(f"warning: {warning}")
        return answer

    async def _answer(
        self,
        address: StackAddress,
        path: str,
        params: Mapping[str, Any] | None,
        method: str,
        body: Mapping[str, Any] | None,
        seconds: float,
    ) -> httpx.Response:
        """Ask until the service is ready, within bounds."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        deadline = time.monotonic() + _STARTING_SECONDS
        waiting = Waiting(self._say)
        while True:
            try:
                response = await self._http.request(
                    method, address.url + path, params=given, json=body, timeout=seconds
                )
                problem = "it is not ready"
            except httpx.ConnectError as error:
                response, problem = None, str(error)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise unanswered(address, str(error) or type(error).__name__) from error
            pause = _PAUSE_SECONDS
            if response is not None and response.status_code == _TOO_MANY:
                pause = float(response.headers.get("retry-after", 1))
                problem = "it asks for a pause, because it was asked too often"
            elif response is not None and response.status_code != _NOT_READY:
                return response
            self._still_there()  # the stack may be starting
            if time.monotonic() > deadline and (response is None or response.status_code != _TOO_MANY):
                raise unanswered(address, problem)
            waiting(f"the {address.service}: {problem}")
            await asyncio.sleep(pause)

    async def lines(
        self, path: str, *, service: str = "collector", method: str = "GET", params: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """Yield the JSON objects of an answer that comes line by line, for as long as it takes.

        Raises:
            CliError: the service does not answer, or refuses, or breaks off.
        """
        address = self._address(service)
        await self._meet(address)
        timeout = httpx.Timeout(_LINES_SECONDS, connect=_CONNECT_SECONDS)
        try:
            async with self._http.stream(method, address.url + path, params=params, timeout=timeout) as response:
                if response.is_error:
                    text = (await response.aread()).decode(errors="replace")
                    raise CliError(f"the {service} refused {path}: {problem_of(response, text)}")
                async for line in response.aiter_lines():
                    yield parse_object(line)
        except httpx.HTTPError as error:
            raise CliError(f"the {service} broke off: {str(error) or type(error).__name__}") from error


async def campaigns_of(client: ServicesApi) -> list[dict[str, Any]]:
    """Return the campaigns that the scheduler knows."""
    return as_list(as_object(await client.find("/v1/campaigns", service="scheduler")).get("campaigns"))
