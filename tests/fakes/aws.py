"""AWS by moto, over HTTP on loopback: for clients that are not botocore, which moto would only know from the inside."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import requests
from moto import mock_aws

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bridge(BaseHTTPRequestHandler):
    """Hands each request on to moto, which answers what is sent to AWS's own host names from this process."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each body waits 40 ms for its head's acknowledgement

    def do_POST(self) -> None:
        """Pass the bytes there and back; the service is the one that the signature names."""
        body = self.rfile.read(int(self.headers["content-length"]))
        service = self.headers["authorization"].split("/")[3]
        url = f"https://{service}.us-east-1.amazonaws.com/"
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        answer = requests.post(url, data=body, headers=headers, timeout=10)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve, empty at first, what moto knows of DynamoDB and Secrets Manager; the URL is the endpoint of both."""
    with mock_aws(), ThreadingHTTPServer(("127.0.0.1", 0), Bridge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
