"""An artifact store in a bucket: AWS S3, SeaweedFS, MinIO, GCS by its S3 API.

Credentials, region and endpoint come from where every AWS tool takes them: `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_REGION`, `AWS_ENDPOINT_URL_S3`, or the machine's role.
Source: Amazon S3 API reference (conditional writes, checksums, multipart uploads).
"""

import asyncio
import io
import os
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.artifacts.protocol import (
    FRESH_SECONDS,
    ArtifactStore,
    StoredBody,
    digest_in,
    key_uri,
    object_path,
    uri_of_digest,
    valid_key,
)
from synthbench.storage.errors import (
    ArtifactConflict,
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import BucketLifecycleConfigurationTypeDef as LifecycleConfigurationTypeDef

P = ParamSpec("P")
R = TypeVar("R")

_READ_SECONDS = 30
_TRIES = 4
_PART = 16 * 1024 * 1024
_CONNECTIONS = 32
_MISSING = ("NoSuchKey", "404", "NotFound")
_TAKEN = ("PreconditionFailed", "412")
_RACING = ("ConditionalRequestConflict", "409", "OperationAborted")
_RACES, _RACE_SECONDS = 7, 0.1
"""How often such a put is tried, and the longest pause after the first; each later one is twice as long: 7 s in all."""
_NO_LIFECYCLE = ("NotImplemented", "MethodNotAllowed", "MalformedXML", "InvalidArgument")
"""How servers without such rules answer (GCS has other ones)."""
_LONGEST_LINK = 7 * 24 * 3600


class _PutRaces(Exception):
    """The server is busy with another put of the same key."""

    def __init__(self, cause: ClientError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turn what boto3 raises into one line that says where and why; a missing object is an `ArtifactNotFound`."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except ClientError as error:
            if _code(error) in _MISSING:
                raise ArtifactNotFound(f"nothing is stored under {args[1]}") from error
            details = error.response.get("Error", {})
            raise ArtifactStoreUnavailable(
                f"artifact store {args[0]}: {_code(error)}: {details.get('Message', 'no reason given')}"
            ) from error
        except (BotoCoreError, S3UploadFailedError, OSError) as error:
            raise ArtifactStoreUnavailable(f"artifact store {args[0]}: {str(error).splitlines()[0]}") from error

    return call


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _age(body: StoredBody) -> float:
    return (datetime.now(UTC) - body.modified).total_seconds()


class S3Store(ArtifactStore):
    """Bodies under `<prefix>sha256/ab/<hex>`, keys under `<prefix>key/…`.

    Args:
        bucket: must be there; `prepare` makes it.
        prefix: empty, or ends with a slash.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self.prefix = prefix
        own_endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._client: S3Client = boto3.Session().client(  # pyright: ignore[reportUnknownMemberType] - its overloads are partly unknown
            "s3",
            config=Config(
                signature_version="s3v4",
                connect_timeout=5,
                read_timeout=_READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": _TRIES},
                max_pool_connections=_CONNECTIONS,
                s3={"addressing_style": "path" if own_endpoint else "auto"},
            ),
        )
        self._transfer = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=4)
        self._permits = asyncio.Semaphore(_CONNECTIONS)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @override
    async def put(self, data: bytes, *, media_type: str = "application/octet-stream") -> ArtifactRef:
        digest = sha256_digest(data)
        uri = uri_of_digest(digest)
        await self._do(self._put_body, uri, data, media_type)
        return ArtifactRef(uri=uri, digest=digest, size=len(data), media_type=media_type)

    @override
    async def put_named(self, key: str, data: bytes) -> bool:
        if not valid_key(key):
            raise ValueError(f"{key[:120]!r} is no valid key: plain path segments, please")
        uri = key_uri(key)
        if await self._stored_first(uri, data):
            return True
        if await self._do(self._get, uri) != data:
            raise ArtifactConflict(f"{key} holds other content already")
        return False

    @override
    async def get(self, uri: str) -> bytes:
        data = await self._do(self._get, uri)
        expected = digest_in(uri)
        if expected and sha256_digest(data) != expected:
            raise ArtifactCorrupt(f"{uri}: the content hashes to {sha256_digest(data)}")
        return data

    @override
    async def read(self, uri: str, start: int, length: int) -> bytes:
        return await self._do(self._get_range, uri, start, length)

    @override
    async def exists(self, uri: str) -> bool:
        try:
            await self._do(self._size, uri)
        except ArtifactNotFound:
            return False
        return True

    @override
    async def list(self, prefix: str) -> AsyncIterator[str]:
        if prefix and not valid_key(prefix.removesuffix("/")):
            raise ValueError(f"{prefix[:120]!r} is no valid prefix")
        for key in await self._do(self._keys_below, prefix):
            yield key

    @override
    async def delete(self, uri: str) -> None:
        await self._do(self._delete, uri)

    @override
    async def probe(self) -> None:
        await self._do(self._probe)

    @override
    async def prepare(self) -> None:
        await self._do(self._make_bucket)

    @override
    async def bodies(self) -> AsyncIterator[StoredBody]:
        for number in range(256):
            for found in await self._do(self._bodies_below, f"sha256/{number:02x}/"):
                yield found

    @override
    async def body(self, uri: str) -> StoredBody | None:
        return await self._do(self._head, uri)

    @override
    async def presigned(self, uri: str, *, seconds: int = 3600) -> str:
        if not 1 <= seconds <= _LONGEST_LINK:
            raise ValueError(f"a link lives 1 to {_LONGEST_LINK} seconds, not {seconds}")
        wanted = {"Bucket": self.bucket, "Key": self._key(uri)}
        return await asyncio.to_thread(
            self._client.generate_presigned_url, "get_object", Params=wanted, ExpiresIn=seconds
        )

    async def _stored_first(self, uri: str, data: bytes) -> bool:
        """Put under a key that must be free, again while the server says that another put of it is under way.

        The waiting happens without a permit, so that other operations of the store are not kept from theirs.
        """
        turn = 1
        while True:
            try:
                return await self._do(self._put_once, uri, data)
            except _PutRaces as error:
                if turn == _RACES:
                    raise ArtifactStoreUnavailable(
                        f"artifact store {self}: {_code(error.cause)}: {uri} was refused {turn} times, because "
                        "other puts of it are said to be under way"
                    ) from error.cause
            await asyncio.sleep(_RACE_SECONDS * 2 ** (turn - 1) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
            turn += 1

    async def _do(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        async with self._permits:
            return await asyncio.to_thread(work, *args, **kwargs)

    def _key(self, uri: str) -> str:
        return self.prefix + object_path(uri)

    @_translated
    def _put_body(self, uri: str, data: bytes, media_type: str) -> None:
        """Upload a body, in parts if it is large; whoever uploaded it before wrote the same."""
        there = self._head(uri)
        if there is not None and there.size == len(data) and _age(there) < FRESH_SECONDS:
            return
        self._client.upload_fileobj(
            io.BytesIO(data),
            self.bucket,
            self._key(uri),
            ExtraArgs={"ContentType": media_type, "ChecksumAlgorithm": "SHA256"},
            Config=self._transfer,
        )

    @_translated
    def _put_once(self, uri: str, data: bytes) -> bool:
        """Put a record under a key unless one is there, by the server's own condition; False if one is."""
        try:
            self._client.put_object(
                Bucket=self.bucket, Key=self._key(uri), Body=data, IfNoneMatch="*", ChecksumAlgorithm="SHA256"
            )
        except ClientError as error:
            if _code(error) in _TAKEN:
                return False
            if _code(error) in _RACING:
                raise _PutRaces(error) from error
            raise
        return True

    @_translated
    def _get(self, uri: str) -> bytes:
        return self._client.get_object(Bucket=self.bucket, Key=self._key(uri))["Body"].read()

    @_translated
    def _get_range(self, uri: str, start: int, length: int) -> bytes:
        if length <= 0 or start >= self._size(uri):
            return b""
        wanted = f"bytes={start}-{start + length - 1}"
        return self._client.get_object(Bucket=self.bucket, Key=self._key(uri), Range=wanted)["Body"].read()

    @_translated
    def _size(self, uri: str) -> int:
        return self._client.head_object(Bucket=self.bucket, Key=self._key(uri))["ContentLength"]

    @_translated
    def _keys_below(self, prefix: str) -> Sequence[str]:
        """List keys, and sort them: SeaweedFS lists folder by folder."""
        base = f"{self.prefix}key/"
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base + prefix)
        found = (item["Key"] for page in pages for item in page.get("Contents", []) if "Key" in item)
        return sorted(key.removeprefix(base) for key in found)

    @_translated
    def _bodies_below(self, folder: str) -> Sequence[StoredBody]:
        base = self.prefix + folder
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base)
        return [
            StoredBody(uri_of_digest(item["Key"].removeprefix(base)), item["Size"], item["LastModified"])
            for page in pages
            for item in page.get("Contents", [])
            if "Key" in item and "Size" in item and "LastModified" in item
        ]

    @_translated
    def _head(self, uri: str) -> StoredBody | None:
        try:
            found = self._client.head_object(Bucket=self.bucket, Key=self._key(uri))
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return StoredBody(uri, found["ContentLength"], found["LastModified"])

    @_translated
    def _delete(self, uri: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=self._key(uri))

    @_translated
    def _probe(self) -> None:
        key = f"{self.prefix}.probe-{secrets.token_hex(6)}"
        self._client.put_object(Bucket=self.bucket, Key=key, Body=b"ok")
        self._client.delete_object(Bucket=self.bucket, Key=key)

    def _tidy_uploads(self) -> None:
        """Let the server delete parts of unfinished uploads after a week; nothing else ever expires by itself."""
        rules: LifecycleConfigurationTypeDef = {
            "Rules": [
                {
                    "ID": "unfinished-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        }
        try:
            self._client.put_bucket_lifecycle_configuration(Bucket=self.bucket, LifecycleConfiguration=rules)
        except ClientError as error:
            if _code(error) not in _NO_LIFECYCLE:
                raise

    @_translated
    def _make_bucket(self) -> None:
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if _code(error) not in (*_MISSING, "NoSuchBucket"):
                raise
            self._client.create_bucket(Bucket=self.bucket)
            self._tidy_uploads()
