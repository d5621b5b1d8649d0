"""Every OpenAPI document says what its service does: requests that follow it, and some that do not, are made of it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from .conftest import TOKENS

pytestmark = pytest.mark.one_stack

EXAMPLES = "50" if os.environ.get("FULL") == "1" else "5"
"""Random requests to each operation, beside those that the document itself suggests."""
LEFT_OUT = "positive_data_acceptance"
"""A filter, a cursor and a list of names are texts to OpenAPI, and languages to us: most texts are refused."""
ROLES = tuple(TOKENS)
SERVICES = ("collector", "scheduler", "gateway_admin")
ANY = "0196f000-0000-7000-8000-000000000000"
NEEDED = {
    "collector": {
        "GET /v1/api-calls": "admin",
        "GET /v1/attempts": "viewer",
        "GET /v1/attempts/{rollout_id}/{attempt}/calls": "viewer",
        "GET /v1/attempts/{rollout_id}/{attempt}/steps": "viewer",
        "POST /v1/imports": "operator",
        "POST /v1/rebuild": "admin",
        "GET /v1/stats": "viewer",
        "GET /v1/stats/days": "viewer",
        "GET /v1/stats/funnel": "viewer",
        "GET /v1/storage": "viewer",
        "GET /v1/tasks": "viewer",
        "GET /v1/trajectories": "viewer",
        "GET /v1/trajectories.arrow": "viewer",
        "GET /v1/trajectories.ndjson": "viewer",
        "GET /v1/trajectories/{trajectory_id}": "viewer",
        "GET /v1/trajectories/{trajectory_id}/content": "viewer",
        "GET /v1/trajectories/{trajectory_id}/link": "viewer",
        "GET /v1/trajectories/{trajectory_id}/steps": "viewer",
        "PUT /v1/trajectories/{trajectory_id}/holds/{holder}": "operator",
        "DELETE /v1/trajectories/{trajectory_id}/holds/{holder}": "operator",
    },
    "scheduler": {
        "GET /v1/api-calls": "admin",
        "GET /v1/campaigns": "viewer",
        "POST /v1/campaigns/{campaign}/resume": "operator",
        "GET /v1/quarantine": "viewer",
        "DELETE /v1/quarantine/{digest}": "operator",
        "GET /v1/rollouts": "viewer",
        "GET /v1/rollouts/{rollout_id}": "viewer",
        "GET /v1/submissions": "viewer",
        "GET /v1/submissions/{submission_id}": "viewer",
        "GET /v1/work": "viewer",
    },
    "gateway_admin": {
        "GET /v1/budgets": "viewer",
        "GET /v1/costs": "viewer",
        "GET /v1/models": "viewer",
        "POST /v1/models/reload": "operator",
        "POST /v1/models/test": "operator",
    },
}
"""What each route takes at least; a route that is missing here fails."""


def url_of(stack, service: str) -> str:
    return getattr(stack.endpoints(), f"{service}_url")


def refused(client: httpx.Client, method: str, path: str, headers: dict[str, str]) -> int:
    """How a stranger is answered, who may ask ten times a second."""
    while (answer := client.request(method, path, headers=headers)).status_code == 429:
        time.sleep(float(answer.headers["Retry-After"]))
    return answer.status_code


@pytest.mark.parametrize("service", SERVICES)
def test_each_route_asks_for_its_role(stack, service: str):
    answers: dict[tuple[str, str], int] = {}
    with httpx.Client(base_url=url_of(stack, service), timeout=30) as client:
        as_admin = {"Authorization": f"Bearer {TOKENS['admin']}"}
        paths = client.get("/openapi.json", headers=as_admin).raise_for_status().json()["paths"]
        routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
        assert routes == NEEDED[service].keys()
        for route in routes:
            method, path = route.split()
            filled = path.replace("{attempt}", "1").replace("{holder}", "somebody")
            filled = re.sub(r"\{\w+\}", ANY, filled)
            assert refused(client, method, filled, {}) == 401, route
            assert refused(client, method, filled, {"Authorization": "Bearer other"}) == 401, route
            for role, token in TOKENS.items():
                answer = client.request(method, filled, headers={"Authorization": f"Bearer {token}"})
                answers[route, role] = answer.status_code
                assert "Bearer" not in answer.text
    for (route, role), status in answers.items():
        enough = ROLES.index(role) >= ROLES.index(NEEDED[service][route])
        assert (status != 403) == enough, (route, role, status)
        assert status < 500, (route, role, status)
        assert status != 401, (route, role)


def test_changes_and_refusals_are_accounted_for(stack):
    with httpx.Client(base_url=url_of(stack, "collector"), timeout=30) as client:
        path = f"/v1/trajectories/{ANY}/holds/account"
        for role in ("viewer", "operator"):
            client.delete(path, headers={"Authorization": f"Bearer {TOKENS[role]}"})
        as_admin = {"Authorization": f"Bearer {TOKENS['admin']}"}
        calls = client.get("/v1/api-calls", headers=as_admin).json()["calls"]
    mine = [(call["caller"], call["method"], call["status"]) for call in calls if call["path"] == path]
    assert mine == [("a-operator", "DELETE", 404), ("a-viewer", "DELETE", 403)]


@pytest.mark.parametrize("service", SERVICES)
def test_it_answers_as_it_says(stack, service: str, tmp_path: Path):
    endpoints = stack.endpoints()
    url = url_of(stack, service)
    assert endpoints.api_token is not None
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{url}/openapi.json", "-n", EXAMPLES, "--seed", "1",
            "--header", f"authorization: Bearer {endpoints.api_token.get_secret_value()}",
            "--exclude-checks", LEFT_OUT, "--phases", "examples,coverage,fuzzing", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted is not None, done.stdout[-1000:]
    assert counted[1] == counted[2]
    assert int(counted[1]) > (100 if service != "gateway_admin" else 50)
