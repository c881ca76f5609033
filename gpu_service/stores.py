"""The buckets behind `gpu_service/bucket.py`: S3 by boto3, Google Cloud Storage by its JSON API."""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from gpu_service import objects
from gpu_service.bucket import StoreError
from gpu_service.model import ModelError

if TYPE_CHECKING:
    from gpu_service.bucket import Store

_CONNECT, _READ = 0.5, 1.0  # seconds; nobody waits for them but threads of the cache's own
_POOL: Final = 16  # connections that are kept


def at(uri: str) -> Store:
    """Give the bucket of `s3://bucket/prefix` or `gs://bucket/prefix`. Nothing is connected to yet."""
    parts = urlsplit(uri)
    prefix = f"{parts.path.strip('/')}/" if parts.path.strip("/") else ""
    return (S3 if parts.scheme == "s3" else Google)(parts.netloc, prefix)


class S3:
    """A bucket of S3; `AWS_ENDPOINT_URL_S3` redirects it."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client: Any = None

    def connect(self) -> None:
        """Load boto3, which takes a third of a second.

        Raises:
            StoreError: it is not installed, or there is no region.
        """
        try:
            import boto3  # noqa: PLC0415 - only who keeps results in S3 pays for it
            from botocore.config import Config  # noqa: PLC0415 - as above
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise StoreError("S3 cannot be used without boto3: run `pip install boto3`.") from error
        once = Config(
            connect_timeout=_CONNECT,
            read_timeout=_READ,
            retries={"total_max_attempts": 1},
            max_pool_connections=_POOL,
        )
        try:
            self._client = boto3.client("s3", config=once)
        except BotoCoreError as error:
            raise StoreError(str(error)) from error

    def get(self, name: str) -> bytes | None:
        """Give an object, None if there is none.

        Raises:
            StoreError: the bucket says no, or nothing.
        """
        found = self._ask("get_object", name)
        try:
            return None if found is None else bytes(found["Body"].read())
        except Exception as error:  # whatever becomes of a connection has a type of its own
            raise StoreError(f"{type(error).__name__} while an object was read.") from error

    def put(self, name: str, content: bytes) -> None:
        """Write an object.

        Raises:
            StoreError: as `get`.
        """
        self._ask("put_object", name, Body=content, ContentType="application/octet-stream")

    def _ask(self, call: str, name: str, **given: object) -> dict[str, Any] | None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        try:
            answer: dict[str, Any] = getattr(self._client, call)(
                Bucket=self._bucket, Key=f"{self._prefix}{name}", **given
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                return None
            raise StoreError(f"{error} Grant s3:GetObject, s3:PutObject and s3:ListBucket on it.") from error
        except BotoCoreError as error:
            raise StoreError(str(error)) from error
        return answer


class Google:
    """A bucket of Google Cloud Storage, with the platform's identity; `STORAGE_EMULATOR_HOST` redirects it."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import urllib3  # noqa: PLC0415 - only who keeps results there pays for it

        timeout = urllib3.Timeout(connect=_CONNECT, read=_READ)
        self._pool = urllib3.PoolManager(maxsize=_POOL, timeout=timeout, retries=False)
        self._errors = urllib3.exceptions.HTTPError
        self._bucket = quote(bucket, safe="")
        self._prefix = prefix
        self._token, self._until = "", 0.0

    def connect(self) -> None:
        """Do nothing: a connection is made with the first request, and kept."""

    def get(self, name: str) -> bytes | None:
        """Give an object, None if there is none.

        Raises:
            StoreError: the bucket says no, or nothing.
        """
        return self._ask("GET", f"/storage/v1/b/{self._bucket}/o/{self._named(name)}?alt=media", None)

    def put(self, name: str, content: bytes) -> None:
        """Write an object.

        Raises:
            StoreError: as `get`.
        """
        path = f"/upload/storage/v1/b/{self._bucket}/o?uploadType=media&name={self._named(name)}"
        self._ask("POST", path, content)

    def _named(self, name: str) -> str:
        return quote(f"{self._prefix}{name}", safe="")

    def _ask(self, method: str, path: str, content: bytes | None) -> bytes | None:
        headers = {"content-type": "application/octet-stream"} if content is not None else {}
        try:
            if not os.environ.get("STORAGE_EMULATOR_HOST"):
                headers["authorization"] = f"Bearer {self._identity()}"
            answer = self._pool.request(method, f"{objects.google()}{path}", body=content, headers=headers)
        except (self._errors, ModelError) as error:
            raise StoreError(str(error)) from error
        if answer.status == HTTPStatus.NOT_FOUND and method == "GET":
            return None
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise StoreError(
                f"Status {answer.status}: grant the service account roles/storage.objectUser on the bucket."
            )
        return answer.data

    def _identity(self) -> str:
        if time.monotonic() >= self._until:
            self._token, seconds = objects.token(f"gs://{self._bucket}", _READ)
            self._until = time.monotonic() + seconds * 0.75
        return self._token
