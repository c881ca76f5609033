"""Asking what answers by way of S3: the request is laid down, its place told, the answer fetched when it is there.

So SageMaker's asynchronous endpoints work. What was laid down is taken away again, whatever happened: an endpoint that
comes to a request late finds nothing, and computes nothing for nobody.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote

from shared.core.errors import UpstreamError, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from shared.edge.answer import SILENCE_SECONDS
from shared.edge.http import Http
from shared.providers.adapter import Head, HttpRequest, Signing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shared.edge.signer import Signer
    from shared.providers.adapter import Deferred

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.25, 5.0, 1.5  # seconds between two looks
TIDY_SECONDS = 1.0  # of the patience, to take away what was laid down
LOOK_SECONDS = 30.0  # at most, for one look
SHORTEST_LIFE, LONGEST_LIFE, LONGEST_RUN = 60, 21_600, 3_600  # seconds, of SageMaker's API
MISHAPS = 5  # looks in a row that may fail
_ACCEPTED, _NOT_FOUND, _REFUSED, _FAILED = 202, 404, 400, 500
_CODE_LENGTH = 64
_PREFIX = "x-amzn-sagemaker-"


class Told:
    """An answer that is here; used as one that comes in."""

    def __init__(self, head: Head, body: bytes) -> None:
        self.head = head
        self._left = body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """There is nothing to close."""

    def read(self) -> bytes:
        """Return all that is left, b"" after it."""
        data, self._left = self._left, b""
        return data

    whole = start_of = read


class _Object(NamedTuple):
    """An object of S3."""

    url: str
    region: str

    def asked(self, method: str, body: bytes = b"", **headers: str) -> HttpRequest:
        return HttpRequest(self.url, headers, body, method, Signing("s3", self.region))


class Later:
    """Asks by way of S3, with somebody's connections, signature and patience between two looks."""

    def __init__(self, http: Http, signer: Signer, pause: Callable[[float], None]) -> None:
        self._http = http
        self._signer = signer
        self._pause = pause

    def post(self, request: HttpRequest, patience: float, connect: float) -> Told:
        """Have `request`, which is not signed yet, answered within `patience` seconds, of which `connect` to connect.

        Raises:
            UpstreamUnavailable: it was not laid down, so nobody was asked.
            UpstreamTimeout: there is no answer in time.
            UpstreamError: there is none, or not where the catalog says.
        """
        end = time.monotonic() + min(patience, SILENCE_SECONDS) - TIDY_SECONDS
        place = request.deferred
        if place is None or request.signing is None:
            raise UpstreamUnavailable("The request says not where it is to be laid down.")
        location = f"{place.requests}/{os.urandom(16).hex()}.json"
        laid = _object(location, place, request.signing.region)
        with self._tidied(laid):
            self._lay_down(laid, request, end, connect)
            head, body = self._asked(_invocation(request, location, end), end - time.monotonic(), connect)
            if head.status >= _REFUSED:
                return Told(head, body)
            looked = [
                (_object(told, place, request.signing.region), status)
                for name, status in (("outputlocation", 200), ("failurelocation", _FAILED))
                if (told := head.headers.get(f"{_PREFIX}{name}"))
            ]
            if head.status != _ACCEPTED or not looked:
                raise UpstreamError("The provider does not say where its answer will be.")
            return self._found(looked, end, connect)

    def _lay_down(self, laid: _Object, request: HttpRequest, end: float, connect: float) -> None:
        kind = {"content-type": request.headers.get("content-type", "")}
        try:
            head, body = self._asked(laid.asked("PUT", request.body, **kind), end - time.monotonic(), connect)
        except UpstreamFailed as error:
            raise UpstreamUnavailable("The provider's storage took no request.") from error
        if head.status >= _REFUSED:
            raise UpstreamUnavailable(f"The provider's storage took no request ({_code(head, body)}).")

    def _found(self, looked: list[tuple[_Object, int]], end: float, connect: float) -> Told:
        """Look for the answer, and for the failure, ever less often."""
        pause, mishaps = FIRST_PAUSE, 0
        while (left := end - time.monotonic()) > 0:
            for place, status in looked:
                try:
                    head, body = self._asked(place.asked("GET"), min(LOOK_SECONDS, left), connect)
                    _readable(head, body)
                except UpstreamFailed:
                    mishaps += 1
                    if mishaps > MISHAPS:
                        raise
                    continue
                mishaps = 0
                if head.status < _REFUSED:
                    self._take_away(place)
                    return Told(Head(status, {"content-type": "application/json"}), body)
            self._pause(min(pause, max(0.0, end - time.monotonic())))
            pause = min(pause * GROWTH, LONGEST_PAUSE)
        raise UpstreamTimeout("The provider did not answer in time.")

    def _asked(self, request: HttpRequest, seconds: float, connect: float) -> tuple[Head, bytes]:
        with self._http.post(self._signer.complete(request), seconds, connect) as answer:
            return answer.head, answer.whole()

    @contextmanager
    def _tidied(self, laid: _Object) -> Iterator[None]:
        try:
            yield
        finally:
            self._take_away(laid)

    def _take_away(self, place: _Object) -> None:
        """Delete an object, if that is possible: also where what goes on was broken off."""
        http = Http() if self._http.given_up else self._http
        request = self._signer.complete(place.asked("DELETE"))
        with suppress(UpstreamFailed), http.post(request, TIDY_SECONDS) as answer:
            answer.whole()
        if http is not self._http:
            http.drop()


def _object(location: str, place: Deferred, region: str) -> _Object:
    """Return what lies at `s3://bucket/key`, in one of the folders that the catalog names.

    Raises:
        UpstreamError: it lies elsewhere.
    """
    if not any(location.startswith(f"{folder}/") for folder in (place.requests, *place.answers)):
        raise UpstreamError("The provider puts its answer elsewhere than the catalog's `storage` says.")
    return _Object(f"{place.url}/{quote(location.removeprefix('s3://'), safe='/-_.~')}", region)


def _invocation(request: HttpRequest, location: str, end: float) -> HttpRequest:
    """Say where the request lies, and for how long somebody waits."""
    seconds = max(1, math.ceil(end - time.monotonic()))
    said = {
        "accept": request.headers.get("accept", ""),
        "content-type": request.headers.get("content-type", ""),
        "inputlocation": location,
        "invocationtimeoutseconds": str(min(seconds, LONGEST_RUN)),
        "requestttlseconds": str(min(max(seconds, SHORTEST_LIFE), LONGEST_LIFE)),
    }
    headers = request.headers | {f"{_PREFIX}{name}": value for name, value in said.items()}
    return request._replace(headers=headers, body=b"", deferred=None)


def _readable(head: Head, body: bytes) -> None:
    """Raise an UpstreamError for what is neither an object nor the word that there is none yet."""
    if head.status >= _REFUSED and (head.status != _NOT_FOUND or _code(head, body) == "NoSuchBucket"):
        raise UpstreamError(f"The provider's storage gives no answer ({_code(head, body)}).")


def _code(head: Head, body: bytes) -> str:
    """Return S3's word for what is wrong: its message may name accounts."""
    word = body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode(errors="replace")
    return word if word.isascii() and word.isalnum() and len(word) <= _CODE_LENGTH else f"status {head.status}"
