"""What only a bucket can do, and how it fails. The contract itself is in test_artifacts."""

from typing import TYPE_CHECKING

import boto3
import httpx
import pytest

from synthbench.embedded.children import free_port
from synthbench.storage.artifacts import key_uri
from synthbench.storage.artifacts.protocol import object_path
from synthbench.storage.artifacts.s3 import S3Store
from synthbench.storage.errors import ArtifactCorrupt, ArtifactStoreUnavailable

if TYPE_CHECKING:
    from servers import SeaweedFS

pytestmark = pytest.mark.usefixtures("s3")


@pytest.fixture
async def store(s3: "SeaweedFS") -> S3Store:
    made = S3Store("only-s3", "deep/")
    await made.prepare()
    return made


async def test_a_link_reads_one_body_and_nothing_else(store: S3Store):
    reference = await store.put(b"what was shared")
    other = await store.put(b"what was not")
    link = await store.presigned(reference.uri, seconds=60)
    async with httpx.AsyncClient() as client:
        assert (await client.get(link)).content == b"what was shared"
        path, of_other = object_path(reference.uri), object_path(other.uri)
        assert (await client.get(link.replace(path, of_other))).status_code == 403
        assert (await client.get(link.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))).status_code == 403
        assert (await client.get(link.split("?")[0])).status_code == 403
    with pytest.raises(ValueError, match="a link lives"):
        await store.presigned(reference.uri, seconds=8 * 24 * 3600)


async def test_a_bucket_of_ours_drops_unfinished_uploads_and_nothing_else(s3: "SeaweedFS"):
    await S3Store("made-by-us").prepare()
    await S3Store("made-by-us").prepare()
    client = boto3.Session().client("s3")
    (rule,) = client.get_bucket_lifecycle_configuration(Bucket="made-by-us")["Rules"]
    client.close()
    assert rule.get("AbortIncompleteMultipartUpload") == {"DaysAfterInitiation": 7}
    assert rule["Status"] == "Enabled"
    assert "Expiration" not in rule


async def test_corrupt_content_is_not_handed_out(store: S3Store, s3: "SeaweedFS"):
    reference = await store.put(b"what was stored")
    client = boto3.Session().client("s3")
    path = "deep/" + object_path(reference.uri)
    client.put_object(Bucket="only-s3", Key=path, Body=b"what somebody wrote")
    client.close()
    with pytest.raises(ArtifactCorrupt, match=reference.uri):
        await store.get(reference.uri)


async def test_a_prefix_keeps_stores_apart(store: S3Store):
    other = S3Store("only-s3", "elsewhere/")
    await store.put_named("same", b"here")
    await other.put_named("same", b"there")
    assert await store.get(key_uri("same")) == b"here"


async def test_what_went_over_the_wire_is_checked_by_the_server(store: S3Store):
    """The checksum travels with the body: a server that stores something else would refuse it."""
    client = boto3.Session().client("s3")
    with pytest.raises(client.exceptions.ClientError):
        client.put_object(
            Bucket="only-s3", Key="x", Body=b"one", ChecksumSHA256="A" * 43 + "=",
        )  # fmt: skip
    client.close()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret-key", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId"),
    ],
)
async def test_wrong_credentials_are_one_line_without_them(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ArtifactStoreUnavailable, match=f"^artifact store s3://only-s3/: {said}: ") as away:
        await S3Store("only-s3").probe()
    assert "\n" not in str(away.value)
    assert "secret-key" not in str(away.value)


async def test_a_bucket_that_is_missing(store: S3Store):
    with pytest.raises(ArtifactStoreUnavailable, match=r"^artifact store s3://never-made/: NoSuchBucket: "):
        await S3Store("never-made").put(b"x")


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ArtifactStoreUnavailable, match="Could not connect to the endpoint URL"):
        await S3Store("only-s3").probe()


async def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(ArtifactStoreUnavailable, match="Unable to locate credentials"):
        await S3Store("only-s3").probe()
