"""What Google does for identity tokens: says things of accounts, and serves its keys on the loopback."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from shared.edge.jwks import LARGEST
from tests.fakes import tokens as t

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOGLE, URL = "https://accounts.google.com", "https://embedder-1234.europe-west1.run.app"
CALLER = "gateway@project.iam.gserviceaccount.com"
NOW = int(time.time())
KEYS = json.dumps({"keys": [t.rsa_jwk(t.rsa_key(0), kid="rsa-1", alg="RS256"), t.ec_jwk(t.ec_key(), kid="ec-1")]})
ENVIRONMENT = {"GPU_SERVICE_AUTH": "identity", "IDENTITY_AUDIENCE": URL, "IDENTITY_EMAILS": CALLER}


class Provider(BaseHTTPRequestHandler):
    """A server of keys that remembers what it was asked; `answers` are status and document by path."""

    asked: list[str]
    answers: dict[str, tuple[int, bytes]]

    def do_GET(self) -> None:
        """Answer."""
        self.asked.append(self.path)
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("location", "/keys")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[str]:
    """Give the address of such a server."""
    Provider.asked = []
    good = KEYS.encode()
    Provider.answers = {"/keys": (200, good), "/moved": (302, b""), "/down": (503, good), "/html": (200, b"<html>")}
    Provider.answers["/large"] = (200, b" " * LARGEST + good)
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def claims(**changes: Any) -> dict[str, Any]:
    """Give what Google says of a service account; a change to `...` leaves a claim out."""
    google = {"iss": GOOGLE, "aud": URL, "azp": "1", "sub": "1", "email": CALLER, "email_verified": True, "groups": ...}
    return t.theirs(**(google | {"iat": NOW - 10, "exp": NOW + 3590} | changes))
