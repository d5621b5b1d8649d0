"""Tokens, roles, rates and the account, on an app of Starlette behind the guard."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
import structlog
from fastapi import Depends, FastAPI
from pydantic import SecretStr
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from synthbench.chassis.access import Access, ApiCall, Role, parse_tokens, requires
from synthbench.chassis.errors import SettingsError


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def lines(**roles: str) -> SecretStr:
    return SecretStr("\n".join(f"{name}:{role}:{digest(name)}" for name, role in roles.items()))


CALLERS = parse_tokens(lines(vi="viewer", re="reviewer", op="operator", ad="admin"), SecretStr("root"))


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/thing")
    async def read() -> str:
        return "read"

    @made.put("/thing")
    async def change() -> str:
        return "changed"

    @made.get("/account", dependencies=[Depends(requires(Role.ADMIN))])
    async def account() -> str:
        return "account"

    @made.post("/fails")
    async def fails() -> str:
        raise RuntimeError("on purpose")

    @made.post("/streams")
    async def streams() -> StreamingResponse:
        async def parts() -> AsyncGenerator[bytes]:
            yield b"one"
            yield b"two"

        return StreamingResponse(parts())

    _ = (read, change, account, fails, streams)
    return made


@asynccontextmanager
async def served(access: Access) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(access.guard(app()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


def guarding(a_second: float = 1000) -> Access:
    return Access(CALLERS, a_second=a_second, log=structlog.get_logger())


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_each_role_may_do_its_part():
    wanted = {
        ("GET", "/thing"): ("vi", "re", "op", "ad", "root"),
        ("PUT", "/thing"): ("op", "ad", "root"),
        ("GET", "/account"): ("ad", "root"),
    }
    async with served(guarding()) as client:
        for (method, path), allowed in wanted.items():
            for token in ("vi", "re", "op", "ad", "root"):
                answer = await client.request(method, path, headers=by(token))
                assert answer.status_code == (200 if token in allowed else 403), (method, path, token)
        assert (await client.put("/thing", headers=by("re"))).json()["detail"] == (
            "re is a reviewer; this takes the role operator"
        )


@pytest.mark.parametrize(
    "headers", [{}, by("other"), by(""), {"Authorization": "vi"}, {"Authorization": "Basic vi"}, by(digest("vi"))]
)
async def test_without_a_token_there_is_no_way_in(headers: dict[str, str]):
    async with served(guarding()) as client:
        answer = await client.get("/thing", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_where_no_token_is_set_everybody_may_do_everything():
    async with served(Access({}, a_second=1, log=structlog.get_logger())) as client:
        for method, path in (("GET", "/thing"), ("PUT", "/thing"), ("GET", "/account")):
            assert (await client.request(method, path)).status_code == 200


async def test_who_asks_too_often_is_told_when_to_come_again():
    async with served(guarding(a_second=5)) as client:
        first = [(await client.get("/thing", headers=by("vi"))).status_code for _ in range(12)]
        assert first == [200] * 10 + [429] * 2
        assert (await client.get("/thing", headers=by("op"))).status_code == 200
        answer = await client.get("/thing", headers=by("vi"))
        assert answer.headers["Retry-After"] == "1"
        assert "again in 0." in answer.json()["detail"]


async def test_guessing_is_slow():
    async with served(guarding()) as client:
        found = [(await client.get("/thing", headers=by(f"guess {number}"))).status_code for number in range(40)]
        assert found[:20] == [401] * 20
        assert 429 in found[20:]
        assert (await client.get("/thing", headers=by("vi"))).status_code == 200


async def test_changes_and_refusals_are_kept_reading_is_not():
    access = guarding()
    kept: list[ApiCall] = []

    async def account(call: ApiCall) -> None:
        kept.append(call)

    access.account = account
    async with served(access) as client:
        for method, path, token in (
            ("GET", "/thing", "vi"), ("PUT", "/thing", "vi"), ("PUT", "/thing", "op"), ("GET", "/account", "op"),
            ("GET", "/account", "ad"), ("POST", "/fails", "op"), ("POST", "/streams", "op"), ("PUT", "/thing", "no"),
        ):  # fmt: skip
            await client.request(method, path, headers=by(token))
    assert kept == [
        ApiCall("vi", "viewer", "PUT", "/thing", 403),
        ApiCall("op", "operator", "PUT", "/thing", 200),
        ApiCall("op", "operator", "GET", "/account", 403),
        ApiCall("op", "operator", "POST", "/fails", 500),
        ApiCall("op", "operator", "POST", "/streams", 200),
    ]


async def test_an_account_that_cannot_be_kept_stands_in_the_log():
    access = guarding()

    async def account(_call: ApiCall) -> None:
        raise OSError("full")

    access.account = account
    with capture_logs() as logs:
        async with served(access) as client:
            assert (await client.put("/thing", headers=by("op"))).status_code == 200
    assert [entry["error"] for entry in logs if entry["event"] == "api call not kept"] == ["OSError: full"]


async def test_no_token_is_in_a_log():
    with capture_logs() as logs:
        async with served(guarding()) as client:
            await client.get("/thing", headers=by("hunter2"))
            await client.put("/thing", headers=by("op"))
    assert len(logs) == 2
    assert "hunter2" not in str(logs)


@pytest.mark.parametrize(
    "text",
    ["ada:viewer:abc", f"ada:boss:{digest('x')}", f"a b:viewer:{digest('x')}", "ada", f"ada:viewer:{digest('x')}0"],
)
def test_a_line_that_is_none_is_named_by_its_number(text: str):
    with pytest.raises(SettingsError, match="line 2: write name:role:sha256") as caught:
        parse_tokens(SecretStr(f"# people\n{text}\n"), None)
    assert text not in str(caught.value)


def test_lines_may_be_parted_by_commas_for_env_files():
    found = parse_tokens(SecretStr(f"a:viewer:{digest('a')}, b:admin:{digest('b')}"), None)
    assert {(caller.name, caller.role) for caller in found.values()} == {("a", Role.VIEWER), ("b", Role.ADMIN)}
