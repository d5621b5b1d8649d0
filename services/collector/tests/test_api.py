"""The catalogue's HTTP API, on a real Postgres and a real store."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs] - it has none
import pytest
import structlog

from catalogue_of import TrajectoryMaker
from synthbench.collector.adapters import arrow
from synthbench.collector.adapters.listing import COLUMNS
from synthbench.collector.api import build_api
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign import Source, read
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.artifacts.s3 import S3Store
from synthbench.storage.database import Database
from synthbench.storage.trajectories import decode, encode

if TYPE_CHECKING:
    from servers import SeaweedFS


def conversation(number: int) -> Trajectory:
    messages = [{"role": "user", "content": f"Mend the parser number{number}."}]
    for turn in range(5):
        messages += [{"role": "assistant", "content": f"turn {turn} of {number}"}, {"role": "user", "content": "go on"}]
    text = json.dumps(messages).encode()
    return read(messages, Source(f"f{number}.json", sha256_digest(text), resolved=number % 2 == 0, model="m"))[0]


@pytest.fixture
async def listed(api: httpx.AsyncClient, store: FilesStore) -> list[Trajectory]:
    made = [conversation(number) for number in range(7)]
    for one in made:
        artifact = await store.put(encode(one))
        answer = await api.post("/v1/imports", json=artifact.to_dict())
        assert answer.json() == {"trajectory_id": str(one.trajectory_id), "state": "stored"}
    return made


async def test_lists_are_filtered_paged_and_cut_to_what_is_asked_for(api: httpx.AsyncClient, listed: list[Trajectory]):
    wanted = {"filter": "outcome:solved imported:messages", "fields": "task,outcome", "limit": 3}
    first = (await api.get("/v1/trajectories", params=wanted)).json()
    assert [one["outcome"] for one in first["trajectories"]] == ["solved"] * 3
    assert set(first["trajectories"][0]) == {"task", "outcome"}
    second = (await api.get("/v1/trajectories", params={**wanted, "cursor": first["next_cursor"]})).json()
    assert second["next_cursor"] is None
    tasks = [one["task"] for page in (first, second) for one in page["trajectories"]]
    assert tasks == [f"imported/f{number}.json#0" for number in (6, 4, 2, 0)]
    everything = (await api.get("/v1/trajectories")).json()["trajectories"]
    assert {one["trajectory_id"] for one in everything} == {str(one.trajectory_id) for one in listed}


async def test_words_are_found_in_instructions_and_actions(api: httpx.AsyncClient, listed: list[Trajectory]):
    for text, count in (
        ("number3", 1),
        ('"turn 4 of 2"', 1),
        ("parser -number5", 6),
        ("nothing", 0),
        ("turn parser", 7),
    ):
        found = (await api.get("/v1/trajectories", params={"filter": text})).json()["trajectories"]
        assert len(found) == count, text


async def test_all_of_them_as_arrow(
    api: httpx.AsyncClient,
    database: Database,
    store: FilesStore,
    listed: list[Trajectory],
    monkeypatch: pytest.MonkeyPatch,
):
    """The same as the list says, column by column, over several batches."""
    monkeypatch.setattr("synthbench.collector.adapters.reading._PAGE", 3)
    await TrajectoryMaker(database, store).trajectory(steps=2, verdict="accept")
    answer = await api.get("/v1/trajectories.arrow")
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(answer.content) as reader:
        batches = list(reader)
    assert [batch.num_rows for batch in batches] == [3, 3, 2]
    rows = pa.Table.from_batches(batches).to_pylist()
    wanted = (await api.get("/v1/trajectories")).json()["trajectories"]
    assert list(rows[0]) == list(COLUMNS)
    assert set(arrow.TYPES) == set(COLUMNS)
    for row, expected in zip(rows, wanted, strict=True):
        for name, value in expected.items():
            found = row[name]
            if isinstance(found, datetime):
                assert found == datetime.fromisoformat(value), name
            elif isinstance(value, (dict, list)) and isinstance(found, str):
                assert json.loads(found) == value, name
            elif isinstance(value, dict):
                assert {key: one for key, one in found.items() if one is not None} == value, name
            else:
                assert found == value, name


async def test_a_link_reads_the_stored_file_where_the_store_has_links(
    api: httpx.AsyncClient, database: Database, store: FilesStore, s3: "SeaweedFS", tmp_path: Path
):
    identity = await TrajectoryMaker(database, store).trajectory(steps=2)
    refused = await api.get(f"/v1/trajectories/{identity}/link")
    assert (refused.status_code, "has no links" in refused.json()["detail"]) == (409, True)
    bucket = S3Store("links", f"{tmp_path.name}/")
    await bucket.prepare()
    found = (await api.get(f"/v1/trajectories/{identity}")).json()["artifact"]
    await bucket.put(await store.get(found["uri"]))
    archive = CatalogueArchive(database, bucket, 0, structlog.get_logger())
    transport = httpx.ASGITransport(build_api(CollectorSettings(), database, bucket, archive))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        link = (await client.get(f"/v1/trajectories/{identity}/link?seconds=60")).json()
        assert (await client.get(f"/v1/trajectories/{identity}/link?seconds=604801")).status_code == 422
    async with httpx.AsyncClient() as anybody:
        content = (await anybody.get(link["url"])).content
    assert sha256_digest(content) == link["digest"] == found["digest"]
    assert len(decode(content).steps) == 2


async def test_arrow_of_nothing_has_its_columns(api: httpx.AsyncClient, listed: list[Trajectory]):
    params = {"filter": "outcome:timeout", "fields": "task,stored_at"}
    with pa.ipc.open_stream((await api.get("/v1/trajectories.arrow", params=params)).content) as reader:
        table = reader.read_all()
    assert (table.num_rows, table.schema.names) == (0, ["task", "stored_at"])
    assert (await api.get("/v1/trajectories.arrow", params={"fields": "no"})).status_code == 400


async def test_all_of_them_as_lines(api: httpx.AsyncClient, listed: list[Trajectory], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("synthbench.collector.adapters.reading._PAGE", 2)
    answer = await api.get("/v1/trajectories.ndjson", params={"fields": "trajectory_id"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line)["trajectory_id"] for line in answer.text.splitlines()]
    assert found == [str(one.trajectory_id) for one in reversed(listed)]


async def test_one_is_sent_once(api: httpx.AsyncClient, listed: list[Trajectory]):
    path = f"/v1/trajectories/{listed[0].trajectory_id}"
    answer = await api.get(path)
    assert answer.json()["imported"] == "messages"
    again = await api.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await api.get(path, headers={"if-none-match": '"other"'})).status_code == 200
    content = await api.get(f"{path}/content")
    assert Trajectory.model_validate_json(content.content) == listed[0]


async def test_a_range_of_its_steps(api: httpx.AsyncClient, listed: list[Trajectory]):
    answer = (
        await api.get(f"/v1/trajectories/{listed[1].trajectory_id}/steps", params={"start": 3, "limit": 9})
    ).json()
    assert answer["total"] == 5
    assert [step["action"]["message"] for step in answer["steps"]] == ["turn 3 of 1", "turn 4 of 1"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"filter": "color:red"}, "there is no field 'color'"),
        ({"filter": "steps>x"}, "steps is a number"),
        ({"fields": "task,password"}, "there is no 'password'"),
        ({"cursor": "yesterday"}, "take it from next_cursor"),
        ({"cursor": "2026-01-01|7"}, "take it from next_cursor"),
        ({"limit": "0"}, "greater than or equal to 1"),
        ({"limit": "5000"}, "less than or equal to 1000"),
    ],
)
async def test_what_is_wrong_is_said(api: httpx.AsyncClient, params: dict[str, str], words: str):
    answer = await api.get("/v1/trajectories", params=params)
    assert answer.status_code == (422 if "limit" in params else 400)
    assert words in answer.text


async def test_what_is_not_there(api: httpx.AsyncClient, store: FilesStore, listed: list[Trajectory]):
    assert (await api.get(f"/v1/trajectories/{uuid4()}")).status_code == 404
    assert (await api.get("/v1/trajectories/7")).status_code == 422
    entry = (await api.get(f"/v1/trajectories/{listed[0].trajectory_id}")).json()
    await store.delete(entry["artifact"]["uri"])
    gone = await api.get(f"/v1/trajectories/{listed[0].trajectory_id}/content")
    assert gone.status_code == 410
    assert "nothing is stored under" in gone.json()["detail"]
    missing = ArtifactRef(uri="artifact://sha256/" + "0" * 64, digest="sha256:" + "0" * 64, size=3)
    assert (await api.post("/v1/imports", json=missing.to_dict())).status_code == 410
    strange = {**missing.to_dict(), "uri": "/etc/passwd"}
    assert (await api.post("/v1/imports", json=strange)).status_code == 400
    own = await store.put(encode(listed[0].model_copy(update={"imported": None})))
    refused = await api.post("/v1/imports", json=own.to_dict())
    assert (refused.status_code, refused.json()["detail"]) == (400, "it is no imported trajectory")
