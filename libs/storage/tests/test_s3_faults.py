"""A bucket that is slow, full, denying, or gives other bytes: the right error in one line, and later all is well."""

import asyncio
import time
from itertools import pairwise

import pytest

from s3_faults import ERRORS, FaultyS3
from synthbench.storage.artifacts import key_uri
from synthbench.storage.artifacts.s3 import S3Store
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound, ArtifactStoreUnavailable

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def store(faulty_s3: FaultyS3) -> S3Store:
    made = S3Store("faults", "here/")
    await made.prepare()
    return made


@pytest.mark.parametrize("fault", sorted(ERRORS))
async def test_what_the_server_refuses_is_one_line_and_can_be_done_later(
    store: S3Store, faulty_s3: FaultyS3, fault: str
):
    kept = await store.put(b"was there before")
    faulty_s3.fault = fault
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
        assert faulty_s3.url not in str(caught.value)
    assert faulty_s3.count > 0
    faulty_s3.fault = ""
    assert await store.get(kept.uri) == b"was there before"
    assert await store.get((await store.put(fault.encode())).uri) == fault.encode()
    assert await store.put_named(f"{fault}/new", fault.encode())


async def test_slow_is_waited_for(store: S3Store, faulty_s3: FaultyS3):
    faulty_s3.fault = "slow"
    assert await store.get((await store.put(b"in its time")).uri) == b"in its time"


async def test_hanging_is_given_up(store: S3Store, faulty_s3: FaultyS3):
    faulty_s3.fault = "hanging"
    with pytest.raises(ArtifactStoreUnavailable, match=r"(?i)timeout"):
        await store.get(key_uri("a/key"))


async def test_other_bytes_are_never_handed_out(store: S3Store, faulty_s3: FaultyS3):
    kept = await store.put(b"the very bytes")
    faulty_s3.fault = "other bytes"
    with pytest.raises((ArtifactCorrupt, ArtifactStoreUnavailable)):
        await store.get(kept.uri)
    faulty_s3.fault = ""
    assert await store.get(kept.uri) == b"the very bytes"


async def test_a_cut_off_answer_is_no_short_body(store: S3Store, faulty_s3: FaultyS3):
    content = b"x" * 100_000
    kept = await store.put(content)
    await store.put_named("a/record", content)
    faulty_s3.fault = "cut off"
    for uri in (kept.uri, key_uri("a/record")):
        with pytest.raises(ArtifactStoreUnavailable):
            await store.get(uri)
        with pytest.raises(ArtifactStoreUnavailable):
            await store.read(uri, 10, 50_000)
    faulty_s3.fault = ""
    assert await store.get(kept.uri) == content


async def test_a_single_failure_is_not_noticed(store: S3Store, faulty_s3: FaultyS3):
    """The client asks again by itself."""
    seen: list[str] = []

    def first(method: str, path: str) -> bool:
        seen.append(method)
        return len(seen) == 1

    faulty_s3.hits, faulty_s3.fault = first, "busy"
    await store.put_named("once/busy", b"x")
    assert len(seen) == 2
    assert await store.get(key_uri("once/busy")) == b"x"


async def test_where_reading_is_denied_nothing_is_said_to_be_missing(store: S3Store, faulty_s3: FaultyS3):
    """S3 answers 403 where one may not list; taking that for absence would make garbage of it."""
    faulty_s3.fault = "denying"
    with pytest.raises(ArtifactStoreUnavailable):
        await store.exists(key_uri("no/such"))
    faulty_s3.fault = ""
    assert not await store.exists(key_uri("no/such"))
    with pytest.raises(ArtifactNotFound):
        await store.get(key_uri("no/such"))


async def test_a_conflicting_put_is_tried_again_with_growing_pauses(store: S3Store, faulty_s3: FaultyS3):
    times: list[float] = []

    def first_three(method: str, path: str) -> bool:
        times.append(time.monotonic())
        return len(times) <= 3

    faulty_s3.hits, faulty_s3.fault = first_three, "racing"
    assert await store.put_named("once/racing", b"x")
    assert len(times) == 4
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(times))
    assert times[3] - times[2] > times[1] - times[0]


async def test_conflicts_without_end_are_an_error_that_names_them(store: S3Store, faulty_s3: FaultyS3):
    faulty_s3.fault = "racing"
    with pytest.raises(ArtifactStoreUnavailable, match=r"ConditionalRequestConflict: artifact://key/never/ends "):
        await store.put_named("never/ends", b"x")
    assert faulty_s3.count == 7


async def test_conflicting_puts_leave_other_operations_their_turn(store: S3Store, faulty_s3: FaultyS3):
    """More puts are refused at once than the store has connections; looking for another key still takes no time."""
    faulty_s3.hits, faulty_s3.fault = lambda method, path: "/storm/" in path, "racing"
    puts = [asyncio.create_task(store.put_named(f"storm/{number}", b"x")) for number in range(80)]
    await asyncio.sleep(1.0)
    assert not await asyncio.wait_for(store.exists(key_uri("no/such")), 3)
    assert not all(put.done() for put in puts)
    faulty_s3.fault = ""
    assert all(await asyncio.gather(*puts))
