"""Both kinds of bucket on the loopback, as far as the cache uses them; slow, broken or away when told to be."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABSENT = b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"


@dataclass
class Bucket:
    """Objects by name, what was asked, and whether answers are held back or are of another `status`."""

    port: int = 0
    status: int = 200
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def environment(self) -> dict[str, str]:
        """What leads both clients here."""
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"), "us-east-1")
        address = f"127.0.0.1:{self.port}"
        return {**keys, "STORAGE_EMULATOR_HOST": address, "AWS_ENDPOINT_URL_S3": f"http://{address}"}


@contextmanager
def bucket() -> Iterator[Bucket]:
    """Serve an empty bucket called `b`."""
    found = Bucket()
    found.released.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(found.objects.get(self._name("/storage/v1/b/b/o/")), "GET")

        def do_PUT(self) -> None:
            found.objects[self._name("")] = self.rfile.read(int(self.headers["content-length"]))
            self._answer(b"", "PUT")

        def do_POST(self) -> None:
            assert self.path.startswith("/upload/storage/v1/b/b/o?")
            content = self.rfile.read(int(self.headers["content-length"]))
            found.objects[parse_qs(urlsplit(self.path).query)["name"][0]] = content
            self._answer(b"{}", "POST")

        def _name(self, google: str) -> str:
            path = unquote(urlsplit(self.path).path)
            return path.removeprefix(google) if google and path.startswith(google) else path.removeprefix("/b/")

        def _answer(self, content: bytes | None, method: str) -> None:
            found.asked.append(method)
            found.released.wait(30)
            self.send_response(404 if content is None else found.status)
            body = _ABSENT if content is None else content
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked is gone
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        found.port = server.server_port
        try:
            yield found
        finally:
            found.released.set()
            server.shutdown()
            thread.join()
