"""What lies in the bucket of batches, under its organization; whoever asks for a file without one cannot name it.

Beside that stand two trays, `inbox/` and `outbox/`, for who lays files into the bucket and fetches them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import (
        CompletedMultipartUploadTypeDef,
        CompletedPartTypeDef,
        DeleteObjectRequestTypeDef,
    )

    from shared.edge.settings import AwsSettings

PART: Final = 8 << 20  # bytes of an upload in parts: all but the last have 5 MB, or S3 refuses them
CHUNK: Final = 1 << 20  # bytes that are read and passed on at once
_CONFIG = Config(connect_timeout=1, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
_MISSING: Final = frozenset({"NoSuchKey", "404"})
_GONE: Final = _MISSING | {"PreconditionFailed", "412"}  # or another lies in its place


class Objects:
    """The bucket.

    Every method raises StoreUnavailable where it cannot be reached or refuses.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @classmethod
    def open(cls, bucket: str, aws: AwsSettings) -> Objects:
        """Return the bucket by its name; nothing is connected to before it is used."""
        client = boto3.client("s3", region_name=aws.region, endpoint_url=aws.endpoint_url, config=_CONFIG)
        return cls(client, bucket)

    def put(self, org: str, name: str, content: bytes) -> None:
        """Write an object, in the place of one that is there."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=_key(org, name), Body=content)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable() from error

    def write(self, org: str, name: str, pieces: Iterable[bytes]) -> int:
        """Write an object of any length, unless there is nothing in it; returns how many bytes it has."""
        bucket, key = self._bucket, _key(org, name)
        upload, size, waiting = "", 0, bytearray()
        parts: list[CompletedPartTypeDef] = []

        def send() -> None:
            number, body = len(parts) + 1, bytes(waiting)
            sent = self._client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
            parts.append({"ETag": sent["ETag"], "PartNumber": number})
            waiting.clear()

        try:
            for piece in pieces:
                waiting += piece
                size += len(piece)
                if len(waiting) >= PART:
                    upload = upload or self._client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
                    send()
            if upload:
                send()
                whole: CompletedMultipartUploadTypeDef = {"Parts": parts}
                self._client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=whole)
            elif size:
                self._client.put_object(Bucket=bucket, Key=key, Body=bytes(waiting))
        except (BotoCoreError, ClientError) as error:
            raise _unavailable() from error
        return size

    def read(self, org: str, name: str) -> Iterator[bytes] | None:
        """Return an object in pieces, or None if there is none."""
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=_key(org, name))
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise _unavailable() from error
        except BotoCoreError as error:
            raise _unavailable() from error
        return found["Body"].iter_chunks(CHUNK)

    def delete(self, org: str, name: str) -> None:
        """Remove an object, if it is there."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=_key(org, name))
        except (BotoCoreError, ClientError) as error:
            raise _unavailable() from error

    def fetch(self, tray: str, etag: str) -> bytes | None:
        """Return what lies in a tray, or None if that is not there any more."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=tray, IfMatch=f'"{etag}"')["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return None
            raise _unavailable() from error
        except BotoCoreError as error:
            raise _unavailable() from error

    def hand_out(self, org: str, name: str, tray: str) -> None:
        """Copy a file of any length into a tray."""
        try:
            self._client.copy({"Bucket": self._bucket, "Key": _key(org, name)}, self._bucket, tray)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable() from error

    def lay_out(self, tray: str, content: bytes) -> None:
        """Write into a tray."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=tray, Body=content)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable() from error

    def clear(self, tray: str, etag: str = "") -> None:
        """Remove what lies in a tray; with an `etag` only that, and not what was laid over it."""
        request: DeleteObjectRequestTypeDef = {"Bucket": self._bucket, "Key": tray}
        if etag:
            request["IfMatch"] = f'"{etag}"'
        try:
            self._client.delete_object(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise _unavailable() from error
        except BotoCoreError as error:
            raise _unavailable() from error


def _key(org: str, name: str) -> str:
    return f"orgs/{org}/{name}"


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The files cannot be reached now. Please try again.", retry_after=1)
