"""Reads objects of S3 and of Google Cloud Storage, and writes the latter, with the identity that the platform gives."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Final, cast
from urllib.parse import quote, urlsplit

from gpu_service.model import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GCS: Final = "https://storage.googleapis.com"
_METADATA: Final = "metadata.google.internal"
_SECONDS: Final = 30.0


def is_remote(source: str) -> bool:
    """Tell an object store's URI from a folder."""
    return source.startswith(("s3://", "gs://"))


@contextmanager
def reading(uri: str) -> Iterator[IO[bytes]]:
    """Open the object at `s3://bucket/key` or `gs://bucket/key`.

    `AWS_ENDPOINT_URL_S3` and `STORAGE_EMULATOR_HOST` redirect the two, as they do everywhere.

    Raises:
        ModelError: it cannot be read; the store's reason is in the sentence.
    """
    parts = urlsplit(uri)
    bucket, key = parts.netloc, parts.path.lstrip("/")
    with closing(_s3(uri, bucket, key) if parts.scheme == "s3" else _gcs(uri, bucket, key)) as stream:
        yield stream


def _s3(uri: str, bucket: str, key: str) -> IO[bytes]:
    try:
        import boto3  # noqa: PLC0415 - only who keeps models in S3 pays for it
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise ModelError(f"{uri} cannot be read without boto3: run `pip install boto3`.") from error
    try:
        return cast("IO[bytes]", boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"])
    except (BotoCoreError, ClientError) as error:
        raise ModelError(f"{uri} cannot be read: {error}. Grant the role s3:GetObject on it.") from error


def exists(uri: str) -> bool:
    """Tell whether there is an object at `gs://bucket/key`.

    Raises:
        ModelError: the bucket cannot be read.
    """
    parts = urlsplit(uri)
    try:
        request = _request(uri, _place(parts.netloc, parts.path[1:]))
        urllib.request.urlopen(request, timeout=_SECONDS).close()  # noqa: S310 - https, or the emulator that was named
    except urllib.error.HTTPError as error:
        with error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise _unreadable(uri, error) from error
    return True


def write(uri: str, content: bytes) -> bool:
    """Write the object at `gs://bucket/key`, unless there is one; returns whether it was written.

    Raises:
        ModelError: it cannot be written.
    """
    parts = urlsplit(uri)
    path = f"/upload/storage/v1/b/{quote(parts.netloc, safe='')}/o"
    query = f"?uploadType=media&ifGenerationMatch=0&name={quote(parts.path[1:], safe='')}"
    request = _request(uri, path + query)
    request.data, request.method = content, "POST"
    request.add_header("content-type", "application/jsonl")
    try:
        urllib.request.urlopen(request, timeout=_SECONDS).close()  # noqa: S310 - https, or the emulator that was named
    except urllib.error.HTTPError as error:
        with error:
            if error.code == HTTPStatus.PRECONDITION_FAILED:
                return False
            raise ModelError(
                f"{uri} cannot be written ({error}): grant the service account roles/storage.objectUser on the bucket."
            ) from error
    return True


def _gcs(uri: str, bucket: str, key: str) -> IO[bytes]:
    return _open(uri, _request(uri, f"{_place(bucket, key)}?alt=media"))


def _place(bucket: str, key: str) -> str:
    return f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(key, safe='')}"


def _request(uri: str, path: str) -> urllib.request.Request:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    headers = {} if emulator else {"authorization": f"Bearer {token(uri)[0]}"}
    return urllib.request.Request(f"{google()}{path}", headers=headers)  # noqa: S310 - https, or a named emulator


def google() -> str:
    """Give where Google Cloud Storage is: there, or the emulator that `STORAGE_EMULATOR_HOST` names."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    return emulator if "://" in emulator else f"http://{emulator}" if emulator else _GCS


def token(uri: str, patience: float = _SECONDS) -> tuple[str, float]:
    """Give an access token of the platform's, for `uri`, and the seconds for which it is good.

    Raises:
        ModelError: there is none.
    """
    host = os.environ.get("GCE_METADATA_HOST") or _METADATA
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    request = urllib.request.Request(url, headers={"metadata-flavor": "Google"})
    with closing(_open(uri, request, patience)) as stream:
        found = json.load(stream)
    return str(found["access_token"]), float(found.get("expires_in", 0))


def _open(uri: str, request: urllib.request.Request, patience: float = _SECONDS) -> IO[bytes]:
    try:
        return cast("IO[bytes]", urllib.request.urlopen(request, timeout=patience))  # noqa: S310 - as above
    except (urllib.error.URLError, TimeoutError) as error:
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: Exception) -> ModelError:
    return ModelError(
        f"{uri} cannot be read ({error}): grant the service account roles/storage.objectViewer on the bucket."
    )
