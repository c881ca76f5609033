"""The files of a model come from a folder, a package or a bucket, with the right bytes or not at all."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec
import pytest

from gpu_service import specs
from gpu_service.build import build
from gpu_service.model import MANIFEST, NAME, ModelError
from gpu_service.prepare import prepare
from gpu_service.sources import locate
from gpu_service.specs import Spec
from tests.gpu_service import tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def bucket(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A bucket with the files of `folder` under `m/`, for both stores; gives host:port, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            asked.append(path)
            file = folder / path.rpartition("/m/")[2]
            found = file.read_bytes() if file.is_file() else None
            self.send_response(404 if found is None else 200)
            self.send_header("content-length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture(params=["s3", "gs"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spec]:
    """A tiny model in a bucket of either store."""
    sums = tiny.bert(tmp_path / "bucket")
    with bucket(tmp_path / "bucket") as (address, _):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{address}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "us-east-1")
        yield Spec(task="embedding", source=f"{request.param}://b/m", sha256=sums, pooling="mean")


def test_objects_are_fetched_once_and_checked(remote: Spec, tmp_path: Path) -> None:
    """The files arrive with their digests; a second time nothing is read but what was spoilt meanwhile."""
    folder = locate(remote, cache=tmp_path / "cache")
    assert tiny.digests(folder) == remote.sha256
    (folder / "config.json").write_text("spoilt")
    locate(remote, cache=tmp_path / "cache")

    assert tiny.digests(folder) == remote.sha256


def test_an_object_with_other_bytes_is_refused(remote: Spec, tmp_path: Path) -> None:
    """Both digests, and what to do; an object that is not there is named with its address."""
    other = msgspec.structs.replace(remote, sha256={**remote.sha256, "config.json": "1" * 64})
    absent = msgspec.structs.replace(remote, sha256={**remote.sha256, "absent.json": "1" * 64})

    with pytest.raises(ModelError, match=r"config.json has the SHA-256 [0-9a-f]+, not 1+: put the right file at"):
        locate(other, cache=tmp_path / "cache")
    with pytest.raises(ModelError, match=rf"{remote.source}/absent.json cannot be read"):
        locate(absent, cache=tmp_path / "cache")


def test_a_built_model_is_fetched_by_its_manifest_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of manifest.json pins the rest: what `build` made here is served from a bucket elsewhere."""
    sums = tiny.bert(tmp_path / "weights")
    spec = Spec(task="embedding", source=str(tmp_path / "weights"), sha256=sums, pooling="cls", max_tokens=32)
    build(tmp_path / "bucket", name="tiny", spec=spec)
    pinned = {MANIFEST: tiny.digests(tmp_path / "bucket")[MANIFEST]}
    with bucket(tmp_path / "bucket") as (address, asked):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        remote = Spec(task="embedding", source="gs://b/m", sha256=pinned)
        prepared = prepare("tiny", remote, store=tmp_path / "store")
        prepared.manifest.verify(prepared.directory)
        first = len(asked)
        prepare("tiny", remote, store=tmp_path / "store")

    assert (first, len(asked)) == (4, 4)
    assert (prepared.spec.pooling, prepared.spec.max_tokens) == ("cls", 32)


def test_google_is_asked_with_the_platforms_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an emulator the metadata server gives the token; without one the sentence says what is missing."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with bucket(tmp_path) as (address, asked):
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        with pytest.raises(ModelError, match=r"gs://b/m/model.onnx cannot be read .*: grant the service account"):
            locate(Spec(task="embedding", source="gs://b/m", sha256={"model.onnx": "0" * 64}), cache=tmp_path / "c")

    assert asked == ["/computeMetadata/v1/instance/service-accounts/default/token"]


def test_a_model_that_was_not_made_says_how(tmp_path: Path) -> None:
    """The command that makes it stands in the sentence."""
    with pytest.raises(ModelError, match=r"There is no model in .*: run `python -m gpu_service build --force --out"):
        prepare(NAME, specs.find(NAME), store=tmp_path)
    with pytest.raises(ModelError, match=r"run `python -m gpu_service build mine --force --out .*mine-int8`"):
        prepare("mine", specs.find(NAME).at("int8"), store=tmp_path)
