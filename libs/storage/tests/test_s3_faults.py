"""A bucket that is slow, full, denying, or gives other bytes: the right error in one line, and later all is well."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from s3_faults import ERRORS, FaultyS3
from synthbench.storage.artifacts import key_uri
from synthbench.storage.artifacts import s3 as module
from synthbench.storage.artifacts.s3 import S3Store
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound, ArtifactStoreUnavailable

if TYPE_CHECKING:
    from servers import SeaweedFS

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def faulty(s3: "SeaweedFS", monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    made = FaultyS3(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", made.url)
    yield made
    made.close()


@pytest.fixture
async def store(faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setattr(module, "_READ_SECONDS", 2)
    made = S3Store("faults", "here/")
    await made.prepare()
    return made


@pytest.mark.parametrize("fault", sorted(ERRORS))
async def test_what_the_server_refuses_is_one_line_and_can_be_done_later(store: S3Store, faulty: FaultyS3, fault: str):
    kept = await store.put(b"was there before")
    faulty.fault = fault
    for work in (
        store.put(fault.encode()),
        store.put_named(f"{fault}/new", fault.encode()),
        store.get(kept.uri),
        store.probe(),
    ):
        with pytest.raises(ArtifactStoreUnavailable) as caught:
            await work
        assert len(str(caught.value).splitlines()) == 1
        assert str(caught.value).startswith("artifact store s3://faults/here/: ")
        assert faulty.url not in str(caught.value)
    assert faulty.count > 0
    faulty.fault = ""
    assert await store.get(kept.uri) == b"was there before"
    assert await store.get((await store.put(fault.encode())).uri) == fault.encode()
    assert await store.put_named(f"{fault}/new", fault.encode())


async def test_slow_is_waited_for(store: S3Store, faulty: FaultyS3):
    faulty.fault = "slow"
    assert await store.get((await store.put(b"in its time")).uri) == b"in its time"


async def test_hanging_is_given_up(store: S3Store, faulty: FaultyS3):
    faulty.fault = "hanging"
    with pytest.raises(ArtifactStoreUnavailable, match=r"(?i)timeout"):
        await store.get(key_uri("a/key"))


async def test_other_bytes_are_never_handed_out(store: S3Store, faulty: FaultyS3):
    kept = await store.put(b"the very bytes")
    faulty.fault = "other bytes"
    with pytest.raises((ArtifactCorrupt, ArtifactStoreUnavailable)):
        await store.get(kept.uri)
    faulty.fault = ""
    assert await store.get(kept.uri) == b"the very bytes"


async def test_a_cut_off_answer_is_no_short_body(store: S3Store, faulty: FaultyS3):
    content = b"x" * 100_000
    kept = await store.put(content)
    await store.put_named("a/record", content)
    faulty.fault = "cut off"
    for uri in (kept.uri, key_uri("a/record")):
        with pytest.raises(ArtifactStoreUnavailable):
            await store.get(uri)
        with pytest.raises(ArtifactStoreUnavailable):
            await store.read(uri, 10, 50_000)
    faulty.fault = ""
    assert await store.get(kept.uri) == content


async def test_a_single_failure_is_not_noticed(store: S3Store, faulty: FaultyS3):
    """The client asks again by itself."""
    seen: list[str] = []

    def first(method: str, path: str) -> bool:
        seen.append(method)
        return len(seen) == 1

    faulty.hits, faulty.fault = first, "busy"
    await store.put_named("once/busy", b"x")
    assert len(seen) == 2
    assert await store.get(key_uri("once/busy")) == b"x"


async def test_where_reading_is_denied_nothing_is_said_to_be_missing(store: S3Store, faulty: FaultyS3):
    """S3 answers 403 where one may not list; taking that for absence would make garbage of it."""
    faulty.fault = "denying"
    with pytest.raises(ArtifactStoreUnavailable):
        await store.exists(key_uri("no/such"))
    faulty.fault = ""
    assert not await store.exists(key_uri("no/such"))
    with pytest.raises(ArtifactNotFound):
        await store.get(key_uri("no/such"))
