"""The contract of an artifact store; every store that we have runs through it."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from synthbench.chassis.errors import Transient
from synthbench.contracts.ids import sha256_digest
from synthbench.storage.artifacts import ArtifactStore, FilesStore, key_uri, open_store, uri_of_digest
from synthbench.storage.errors import (
    ArtifactConflict,
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    NotSupported,
)

NOTHING = uri_of_digest("sha256:" + "0" * 64)


@pytest.fixture(params=["files", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "files":
        made = open_store(f"file://{tmp_path}/some%20folder/artifacts")
    else:
        request.getfixturevalue("s3")
        made = open_store(f"s3://contract/{tmp_path.name}/artifacts")
    await made.prepare()
    await made.prepare()
    return made


async def keys(store: ArtifactStore, prefix: str) -> list[str]:
    return [key async for key in store.list(prefix)]


@pytest.mark.parametrize("body", [b"", b"hello", bytes(range(256)) * 5000])
async def test_a_body_comes_back_under_its_digest(store: ArtifactStore, body: bytes):
    reference = await store.put(body, media_type="text/plain")
    assert (reference.digest, reference.size, reference.media_type) == (sha256_digest(body), len(body), "text/plain")
    assert reference.uri == uri_of_digest(reference.digest)
    assert await store.get(reference.uri) == body
    assert await store.put(body, media_type="text/plain") == reference


async def test_parts_can_be_read(store: ArtifactStore):
    uri = (await store.put(b"0123456789")).uri
    assert [await store.read(uri, 3, 4), await store.read(uri, 8, 10), await store.read(uri, 20, 5)] == [
        b"3456", b"89", b"",
    ]  # fmt: skip


async def test_what_is_not_there(store: ArtifactStore):
    for uri in (NOTHING, key_uri("no/such/key")):
        assert not await store.exists(uri)
        with pytest.raises(ArtifactNotFound, match=uri):
            await store.get(uri)
        with pytest.raises(ArtifactNotFound):
            await store.read(uri, 0, 1)
        await store.delete(uri)


async def test_a_key_is_written_once(store: ArtifactStore):
    assert await store.put_named("journal/a/0001", b"one")
    assert not await store.put_named("journal/a/0001", b"one")
    with pytest.raises(ArtifactConflict, match="journal/a/0001 holds other content already"):
        await store.put_named("journal/a/0001", b"two")
    assert await store.get(key_uri("journal/a/0001")) == b"one"


async def test_of_many_writers_one_wins(store: ArtifactStore):
    same = await asyncio.gather(*(store.put_named("same", b"x") for _ in range(16)))
    assert sorted(same) == [False] * 15 + [True]
    different = await asyncio.gather(
        *(store.put_named("different", bytes([n])) for n in range(16)), return_exceptions=True
    )
    assert different.count(True) == 1
    assert sum(isinstance(one, ArtifactConflict) for one in different) == 15
    assert await store.get(key_uri("different")) == bytes([different.index(True)])


async def test_deleted_is_gone_and_the_key_is_free(store: ArtifactStore):
    await store.put_named("k", b"one")
    await store.delete(key_uri("k"))
    assert not await store.exists(key_uri("k"))
    assert await store.put_named("k", b"two")


async def test_keys_are_listed_sorted_below_their_prefix(store: ArtifactStore):
    names = ["j/b/2", "j/a/10", "j/a/2", "j/a-b/1", "j/a/x/1", "other/1"]
    for name in names:
        await store.put_named(name, b"")
    await store.put(b"a body is no key")
    assert await keys(store, "j/") == sorted(name for name in names if name.startswith("j/"))
    assert await keys(store, "j/a/") == ["j/a/10", "j/a/2", "j/a/x/1"]
    assert await keys(store, "nothing/") == []


@pytest.mark.parametrize(
    "key",
    ["", "/", "/absolute", "../up", "a/../../b", "a//b", "a/", ".hidden", "a/.b", "a b", "a\\b", "a\x00b", "ä", "a\n",
     "x" * 201, "a/" + "x" * 201, "/".join("x" * 300)],
)  # fmt: skip
async def test_bad_keys_are_refused(store: ArtifactStore, key: str):
    with pytest.raises(ValueError, match="no valid key"):
        await store.put_named(key, b"x")
    with pytest.raises(ArtifactNotFound, match="no artifact URI"):
        await store.get(key_uri(key))
    with pytest.raises(ValueError, match="no valid prefix"):
        await keys(store, key + "/")


@pytest.mark.parametrize(
    "uri", ["", "file:///etc/passwd", "artifact://sha256/../../etc/passwd", "artifact://sha256/ABC", "sha256:00"]
)
async def test_bad_uris_are_refused(store: ArtifactStore, uri: str):
    for call in (store.get(uri), store.read(uri, 0, 1), store.delete(uri)):
        with pytest.raises(ArtifactNotFound, match="no artifact URI"):
            await call
    assert not await store.exists(uri)


async def test_a_key_that_others_begin_with_or_go_on_from_holds_nothing(store: ArtifactStore):
    await store.put_named("one/two", b"x")
    for uri in (key_uri("one"), key_uri("one/two/three"), key_uri("one/" + "x" * 200)):
        with pytest.raises(ArtifactNotFound, match="nothing is stored"):
            await store.get(uri)


async def test_many_keys_are_all_listed(store: ArtifactStore):
    names = [f"many/{number:04d}" for number in range(1100)]  # more than a page of S3
    for start in range(0, len(names), 100):
        await asyncio.gather(*(store.put_named(name, b"") for name in names[start : start + 100]))
    assert await keys(store, "many/") == names


async def test_all_keys_are_listed_where_no_prefix_is_named(store: ArtifactStore):
    for key in ("recordings/a", "catalogue/000000000001", "journal/r/1/0001"):
        await store.put_named(key, key.encode())
    await store.put(b"a body is no key")
    assert await keys(store, "") == ["catalogue/000000000001", "journal/r/1/0001", "recordings/a"]


async def test_bodies_are_listed_with_size_and_age(store: ArtifactStore):
    before = datetime.now(UTC) - timedelta(seconds=2)
    uris = {(await store.put(str(number).encode())).uri for number in range(40)}
    await store.put_named("a/record", b"is no body")
    found = [body async for body in store.bodies()]
    assert {body.uri for body in found} == uris
    assert len(found) == 40
    assert {body.size for body in found} == {1, 2}
    assert all(before <= body.modified <= datetime.now(UTC) + timedelta(seconds=2) for body in found)
    looked = await store.body(found[0].uri)
    assert looked is not None
    assert (looked.uri, looked.size) == (found[0].uri, found[0].size)
    assert await store.body(NOTHING) is None
    await store.delete(found[0].uri)
    assert await store.body(found[0].uri) is None
    assert len([body async for body in store.bodies()]) == 39


async def test_what_is_put_again_is_not_old_any_more(tmp_path: Path):
    store = FilesStore(tmp_path)
    uri = (await store.put(b"needed again")).uri
    for days, young in ((0.5, False), (5.0, True)):
        moment = datetime.now(UTC) - timedelta(days=days)
        os.utime(store.local_path(uri), (moment.timestamp(), moment.timestamp()))
        await store.put(b"needed again")
        found = await store.body(uri)
        assert found is not None
        assert (datetime.now(UTC) - found.modified < timedelta(minutes=1)) is young


async def test_a_folder_has_no_links(tmp_path: Path):
    store = FilesStore(tmp_path)
    with pytest.raises(NotSupported, match="S3"):
        await store.presigned((await store.put(b"x")).uri)


async def test_a_large_body_goes_in_parts_and_comes_back(store: ArtifactStore):
    body = os.urandom(1 << 20) * 40
    reference = await store.put(body)
    assert await store.get(reference.uri) == body
    assert await store.read(reference.uri, (17 << 20) - 2, 4) == body[(17 << 20) - 2 : (17 << 20) + 2]


# What follows looks into the folder of FilesStore.


async def test_a_probe_leaves_nothing(tmp_path: Path):
    await FilesStore(tmp_path).probe()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_corrupt_content_is_not_handed_out(tmp_path: Path):
    store = FilesStore(tmp_path)
    uri = (await store.put(b"what was stored")).uri
    store.local_path(uri).write_bytes(b"what somebody wrote")
    with pytest.raises(ArtifactCorrupt, match=uri):
        await store.get(uri)


async def test_no_temporary_file_stays(tmp_path: Path):
    store = FilesStore(tmp_path)
    await asyncio.gather(*(store.put_named("k", b"x") for _ in range(8)))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["k"]


async def test_an_unwritable_folder_is_an_outage_with_a_reason(tmp_path: Path):
    (tmp_path / "file").touch()
    store = FilesStore(tmp_path / "file" / "artifacts")  # root cannot write below a file either
    for call in (store.put(b"x"), store.put_named("k", b"x"), store.probe()):
        with pytest.raises(ArtifactStoreUnavailable, match=r"^artifact store .*: Not a directory$") as away:
            await call
        assert isinstance(away.value, Transient)


async def test_permission_denied_says_how_to_mend_it(tmp_path: Path):
    tmp_path.chmod(0o500)
    owner = os.geteuid()
    if owner == 0:
        os.seteuid(65534)  # chmod does not bite root
    try:
        with pytest.raises(ArtifactStoreUnavailable, match="let this user write there"):
            await FilesStore(tmp_path / "artifacts").put(b"x")
    finally:
        os.seteuid(owner)
        tmp_path.chmod(0o700)


async def test_a_key_below_another_key_cannot_be(tmp_path: Path):
    store = FilesStore(tmp_path)
    await store.put_named("a", b"x")
    with pytest.raises(ArtifactStoreUnavailable):
        await store.put_named("a/b", b"x")
    with pytest.raises((ArtifactNotFound, ArtifactStoreUnavailable)):
        await store.get(key_uri("a/b"))


@pytest.mark.parametrize("url", ["", "s3://", "s3://bucket?endpoint=x", "/plain/path", "file://"])
def test_unknown_stores_are_refused(url: str):
    with pytest.raises(ValueError, match="is not supported; use file:///absolute/folder"):
        open_store(url)
