"""What operators do with the record: make it again, clean up, save it, take it back, and say who may."""

import hashlib
import json
import os
import tarfile
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs] - it has none

from synthbench.embedded.datadir import DataDir
from synthbench.embedded.postgres import dsn_of

pytestmark = pytest.mark.timeout(240)

ASKED = (
    "/v1/trajectories",
    "/v1/trajectories?filter=verdict%3Aaccept",
    "/v1/trajectories?filter=cache",
    "/v1/attempts",
    "/v1/tasks",
    "/v1/stats?by=task",
    "/v1/stats/funnel",
    "/v1/stats/days",
)


@pytest.fixture(scope="module")
def stack(data_folders: Path, make_stack):
    """One of their own: they empty its catalogue, and count what is in it."""
    made = make_stack(data_folders / "keeping", SYNTHBENCH_ARCHIVE_SECONDS="1")
    made.env["ADAS_TOKEN"] = made.ask("tokens", "new", "ada", "--role", "reviewer").stdout.strip()
    made.run("up")
    yield made
    made.down()


def dsn(stack) -> str:
    return dsn_of(stack.status()["postgres_port"], DataDir(stack.folder).secret("postgres")).get_secret_value()


def client(stack) -> httpx.Client:
    """Of a collector that is ready."""
    endpoints = stack.endpoints()
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{endpoints.collector_url}/readyz").status_code == 200:
                break
        except httpx.TransportError:
            assert time.monotonic() < deadline, stack.last_words()
        time.sleep(0.1)
    headers = {"Authorization": f"Bearer {endpoints.api_token.get_secret_value()}"}
    return httpx.Client(base_url=endpoints.collector_url, headers=headers, timeout=30)


def answers(stack) -> dict[str, str]:
    """Of the lists, and of everything about each trajectory."""
    with client(stack) as http:
        found = {path: http.get(path).raise_for_status().text for path in ASKED}
        for row in json.loads(found["/v1/trajectories"])["trajectories"]:
            own = f"/v1/trajectories/{row['trajectory_id']}"
            attempt = f"/v1/attempts/{row['rollout_id']}/{row['attempt']}"
            for path in (own, f"{own}/steps", f"{attempt}/steps", f"{attempt}/calls"):
                found[path] = http.get(path).raise_for_status().text
    return found


def archived(stack) -> None:
    """Until every change is in the artifact store."""
    deadline = time.monotonic() + 40
    with client(stack) as http:
        while http.get("/v1/storage").raise_for_status().json()["changes_not_archived"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_catalogue_from_artifacts_alone(stack):
    stack.json("generate-trajectory", "--task", "ttl-cache-004", "--samples", "2")
    stack.json("generate-trajectory", "--task", "simple-task-001", "--scaffold", "nop")
    archived(stack)
    before = answers(stack)
    assert len(json.loads(before["/v1/trajectories"])["trajectories"]) == 3
    assert len(json.loads(before["/v1/trajectories?filter=cache"])["trajectories"]) == 2
    with psycopg.connect(dsn(stack), autocommit=True) as connection:
        rows = connection.execute(
            "select relname from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = 'catalogue' "
            "and relkind in ('r', 'p') and not relispartition and relname <> 'schema_migrations'"
        ).fetchall()
        tables = ", ".join(f"catalogue.{row[0]}" for row in rows)
        connection.execute(f"truncate {tables} restart identity".encode())
        connection.execute("alter sequence catalogue.archive_segments restart")
    assert json.loads(answers(stack)["/v1/trajectories"])["trajectories"] == []
    refused = stack.ask("artifacts", "gc", "--delete", check=False)
    assert refused.returncode == 1
    assert "run `synth-bench rebuild catalogue` first" in refused.stderr
    done = stack.ask("rebuild", "catalogue")
    assert "3 trajectories read" in done.stderr
    assert answers(stack) == before
    assert "nothing, all was there" in stack.ask("rebuild", "catalogue").stderr
    assert "BROKEN" not in stack.ask("audit", "--wait", "30").stdout


def old(path: Path, days: float) -> None:
    moment = time.time() - days * 86_400
    os.utime(path, (moment, moment))


def test_what_nothing_names_goes_and_nothing_else(stack):
    stack.json("generate-trajectory", "--task", "simple-task-001")
    archived(stack)
    bodies = [path for path in stack.artifacts() if path.is_file() and "/sha256/" in str(path)]
    for path in bodies:
        old(path, 20)
    made = {}
    for name, days in (("garbage", 20), ("young garbage", 1)):
        stored = stack.folder / "artifacts"
        content = f"{name} {time.time_ns()}".encode()
        digest = hashlib.sha256(content).hexdigest()
        made[name] = stored / "sha256" / digest[:2] / digest
        made[name].parent.mkdir(parents=True, exist_ok=True)
        made[name].write_bytes(content)
        old(made[name], days)
    shown = json.loads(stack.ask("artifacts", "gc", "--json").stdout)
    assert f"artifact://sha256/{made['garbage'].name}" in [one["uri"] for one in shown]
    assert made["garbage"].exists()
    unneeded = {one["uri"].rpartition("/")[2] for one in shown}
    assert "named by nothing: deleted" in stack.ask("artifacts", "gc", "--delete").stderr
    assert not made["garbage"].exists()
    assert made["young garbage"].exists()
    left = [path for path in bodies if path.exists()]
    assert {path.name for path in bodies} - {path.name for path in left} == unneeded - {made["garbage"].name}
    assert "0 problems" in stack.ask("artifacts", "verify").stderr
    assert "BROKEN" not in stack.ask("audit").stdout
    assert stack.json("generate-trajectory", "--task", "simple-task-001")[0]["reward"] == 1
    assert "at least 2" in stack.ask("artifacts", "gc", "--days", "1", check=False).stderr


def test_a_backup_is_taken_back_by_an_empty_stack(stack, make_stack, tmp_path: Path):
    stack.json("generate-trajectory", "--task", "simple-task-001")
    archived(stack)
    file = tmp_path / "saved.tar"
    assert "tables" in stack.ask("backup", str(file)).stderr
    assert file.stat().st_mode & 0o077 == 0
    before = answers(stack)
    assert "is there already" in stack.ask("backup", str(file), check=False).stderr
    assert "the stack is running" in stack.run("restore", str(file), check=False).stderr
    for value in DataDir(stack.folder).sub("secrets").iterdir():
        assert value.read_bytes() not in file.read_bytes(), value.name
    cut = tmp_path / "cut.tar"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    other = make_stack(stack.folder.with_name(f"{stack.folder.name}-restored"))
    try:
        refused = other.run("restore", str(cut), check=False)
        assert (refused.returncode, refused.stderr.count("synth-bench:")) == (1, 1)
        assert "stay as they were" in refused.stderr
        assert "this is no backup" in other.run("restore", str(no_backup(tmp_path)), check=False).stderr
        assert "restored: " in other.run("restore", str(file)).stderr
        other.run("up")
        assert answers(other) == before
        assert "out" in other.ask("rebuild", "bus").stderr
        assert "BROKEN" not in other.ask("audit", "--wait", "30").stdout
        assert "0 problems" in other.ask("artifacts", "verify").stderr
        assert other.json("generate-trajectory", "--task", "simple-task-001")[0]["reward"] == 1
        other.down()
        assert "has a record already" in other.run("restore", str(file), check=False).stderr
    finally:
        other.down()


def no_backup(folder: Path) -> Path:
    path = folder / "other.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(__file__, arcname="test.py")
    return path


def test_statistics_as_parquet_are_those_of_json(stack, tmp_path: Path):
    stack.json("generate-trajectory", "--task", "simple-task-001")
    file = tmp_path / "stats.parquet"
    for view in ("groups", "funnel", "days"):
        stack.ask("stats", "--view", view, "--format", "parquet", "--output", str(file))
        rows = parquet.read_table(file).to_pylist()
        wanted = json.loads(stack.ask("stats", "--view", view, "--format", "json").stdout)
        assert len(rows) == len(wanted) > 0
        for row, one in zip(rows, wanted, strict=True):
            for name, value in one.items():
                flat = value if isinstance(value, dict) else {"": value}
                for inner, expected in flat.items():
                    assert row[f"{name}_{inner}" if inner else name] == expected, (view, name)
    refused = stack.ask("stats", "--format", "parquet", check=False)
    assert (refused.returncode, "takes an --output" in refused.stderr) == (2, True)
    missing = stack.ask("stats", "--format", "parquet", "--output", str(tmp_path / "no" / "x.parquet"), check=False)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)


def test_room_is_told(stack):
    report = json.loads(stack.ask("storage", "--json").stdout)
    assert {table["name"] for table in report["tables"]} >= {"steps", "trajectories", "llm_calls", "names"}
    assert report["policy"] == {"hot_step_days": 30.0, "failed_attempt_days": None}
    assert "steps stay hot for 30 days" in stack.ask("storage").stderr


def test_tokens_are_made_shown_once_and_taken_away(stack):
    token = stack.env["ADAS_TOKEN"]
    assert "ada has a token" in stack.ask("tokens", "new", "ada", check=False).stderr
    assert "is no name" in stack.ask("tokens", "new", "a:b", check=False).stderr
    assert stack.json("tokens", "list") == [{"name": "ada", "role": "reviewer"}]
    kept = DataDir(stack.folder).tokens_file
    assert token not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    for known in (True, False):
        with client(stack) as http:
            answer = http.get("/v1/tasks", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == (200 if known else 401)
        assert "BROKEN" not in stack.ask("audit").stdout
        if known:
            stack.down()
            stack.ask("tokens", "revoke", "ada")
            stack.run("up")
    assert "ada has no token" in stack.ask("tokens", "revoke", "ada", check=False).stderr
