"""Google's identity tokens for the gateway's own role: what opens a Cloud Run service that lets nobody else in.

No key of Google's is kept anywhere. The role signs a request that says who it is (AWS STS, `GetCallerIdentity`); Google
sends that to AWS, and gives a token of its own to whom AWS names (workload identity federation); with that the service
account writes a token for the one service. `google-auth` makes the same in the tests; importing it would cost more than
the gateway's own start.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from shared.core.errors import GatewayError, UpstreamError, UpstreamFailed, UpstreamKeyRefused, UpstreamUnavailable
from shared.core.wire import decode
from shared.edge.aws import AwsError
from shared.edge.http import Http
from shared.edge.sigv4 import Scope, headers
from shared.providers.adapter import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from shared.core.catalog import Identity, Provider
    from shared.edge.settings import GoogleSettings
    from shared.edge.sigv4 import Credentials

ANSWER_SECONDS = 5.0  # for both calls together
RENEW_SECONDS = 300.0  # before its end a token is replaced, or in the middle of a short life
SPARE_SECONDS = 10.0  # a token that ends sooner could end on its way
RETRY_SECONDS = 10.0  # between two tries after a failure, so that nobody can make us call more often
_ANSWER_BYTES = 65_536
_OK, _REFUSALS = 200, range(400, 500)
_PASSING = frozenset({408, 429})
_LONGEST_CODE = 40
_PARTS = 3  # of a token: what it is, what it says, who says it
_GRANT = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "scope": "https://www.googleapis.com/auth/cloud-platform",
    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
}


class _Kept(NamedTuple):
    """A token and its times, in epoch seconds; "" is one that could not be had, and `failure` says why."""

    text: str
    read_at: float
    renew_at: float
    ends_at: float
    failure: GatewayError | None = None


_NONE = _Kept("", 0, 0, 0)
_Place = tuple["Identity", str]


class Identities:
    """Tokens by identity and audience, kept until shortly before they end; for any number of threads."""

    def __init__(
        self,
        google: GoogleSettings,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`region` is the function's own; `clock` is in epoch seconds."""
        self._google = google
        self._region = region
        self._credentials = credentials
        self._clock = clock
        self._http = Http()
        self._lock = threading.Lock()
        self._kept: dict[_Place, _Kept] = {}

    def token(self, provider: Provider, seconds: float = ANSWER_SECONDS) -> str:
        """Return the token to call `provider` with, within `seconds`; they may be cut to what an answer should take.

        One thread at a time renews it; the old one serves until it ends.

        Raises:
            UpstreamUnavailable: it cannot be had now.
            UpstreamKeyRefused: Google refuses it.
        """
        place, now = _place(provider), self._clock()
        kept = self._kept.get(place, _NONE)
        if now < kept.renew_at:
            return _text(kept)
        seconds = min(seconds, ANSWER_SECONDS)
        with self._alone(seconds if now >= kept.ends_at else 0) as alone:
            if not alone:
                return _text(kept) if now < kept.ends_at else _late(provider)
            kept = self._kept.get(place, _NONE)
            if self._clock() >= kept.renew_at:
                kept = self._renewed(place, kept, provider, seconds)
        return _text(kept)

    def another(self, provider: Provider, tried: Collection[str], seconds: float = ANSWER_SECONDS) -> str:
        """Return a token for one that was refused, "" if there is none: one is not asked for again and again."""
        place, seconds = _place(provider), min(seconds, ANSWER_SECONDS)
        with self._alone(seconds) as alone:
            kept = self._kept.get(place, _NONE)
            if alone and kept.text in tried and self._clock() - kept.read_at >= RETRY_SECONDS:
                kept = self._renewed(place, kept, provider, seconds)
        return "" if kept.text in tried else kept.text

    def drop(self) -> None:
        """Close the connections to Google."""
        self._http.drop()

    @contextmanager
    def _alone(self, seconds: float) -> Iterator[bool]:
        """Let one thread at a time ask Google, for which others wait so long; tells whether this is the one."""
        alone = self._lock.acquire(timeout=max(0.0, seconds))
        try:
            yield alone
        finally:
            if alone:
                self._lock.release()

    def _renewed(self, place: _Place, kept: _Kept, provider: Provider, seconds: float) -> _Kept:
        """Ask for a new token; where that fails the old one stays, as long as it is good, or else the failure does."""
        try:
            renewed = self._read(place, provider.name, seconds)
        except UpstreamFailed as error:
            now = self._clock()
            soon = now + RETRY_SECONDS
            if now < kept.ends_at and kept.text:
                renewed = kept._replace(read_at=now, renew_at=min(soon, kept.ends_at))
            else:
                renewed = _Kept("", now, soon, soon, error)
                if seconds < ANSWER_SECONDS:  # a request that had little time left says nothing of Google
                    return renewed
        self._kept[place] = renewed
        return renewed

    def _read(self, place: _Place, name: str, seconds: float) -> _Kept:
        identity, audience = place
        end = time.monotonic() + seconds
        subject = subject_token(identity, self._region, self._signed_by(name), now=self._clock())
        form = {**_GRANT, "audience": resource(identity), "subject_token": subject}
        exchange = _post(f"{self._google.sts_url}/v1/token", "application/x-www-form-urlencoded", urlencode(form))
        access = self._asked(exchange, "access_token", end, name)
        account = f"{self._google.iam_url}/v1/projects/-/serviceAccounts/{quote(identity.service_account, safe='@')}"
        wanted = json.dumps({"audience": audience, "delegates": [], "includeEmail": True})
        request = _post(f"{account}:generateIdToken", "application/json", wanted, authorization=f"Bearer {access}")
        text = self._asked(request, "token", end, name)
        now = self._clock()
        ends = _end(text, name) - SPARE_SECONDS
        return _Kept(text, now, max(ends - RENEW_SECONDS, (now + ends) / 2), ends)

    def _signed_by(self, name: str) -> Credentials:
        try:
            return self._credentials()
        except AwsError as error:
            raise UpstreamUnavailable(f"There is no role here to stand for, as the provider '{name}' wants.") from error

    def _asked(self, request: HttpRequest, member: str, end: float, name: str) -> str:
        """Return a member of what Google answers; what it answers instead is told by its code alone."""
        try:
            with self._http.post(request, end - time.monotonic()) as answer:
                status, body = answer.head.status, answer.whole(_ANSWER_BYTES)
        except UpstreamFailed as error:
            raise _unavailable(name, "it could not be reached") from error
        try:
            found = decode(body)
        except ValueError:
            found = None
        said = found if isinstance(found, dict) else {}
        text = said.get(member)
        if status == _OK and isinstance(text, str) and text:
            return text
        if status in _REFUSALS and status not in _PASSING:
            raise UpstreamKeyRefused(
                f"Google gives this gateway no identity token for the provider '{name}' ({_code(said, status)});"
                " its owner must see to it."
            )
        raise _unavailable(name, _code(said, status))


def subject_token(identity: Identity, region: str, signer: Credentials, *, now: float) -> str:
    """Return the request that says who the role is, signed and as Google wants it; AWS takes it for five minutes.

    That it is meant for this provider of the pool is signed, too: nobody could use it at another one.
    """
    host, query = f"sts.{region}.amazonaws.com", "Action=GetCallerIdentity&Version=2011-06-15"
    named = {"x-goog-cloud-target-resource": resource(identity)}
    signed = headers(signer, Scope(region, "sts"), host, b"", named, now=now, query=query)
    signed["Authorization"] = signed.pop("authorization")
    lines = [{"key": name, "value": value} for name, value in signed.items()]
    request = {"headers": lines, "method": "POST", "url": f"https://{host}?{query}"}
    return quote(json.dumps(request, separators=(",", ":"), sort_keys=True))


def resource(identity: Identity) -> str:
    """Return the whole name of the pool's provider."""
    return f"//iam.googleapis.com/{identity.workload_identity_provider}"


def _place(provider: Provider) -> _Place:
    identity = provider.identity
    if identity is None:
        raise UpstreamUnavailable(f"The provider '{provider.name}' has no identity.")
    url = urlsplit(provider.base_url)
    return identity, identity.audience or f"{url.scheme}://{url.netloc}"


def _post(url: str, kind: str, body: str, **more: str) -> HttpRequest:
    return HttpRequest(url, {"content-type": kind, "accept": "application/json", **more}, body.encode())


def _text(kept: _Kept) -> str:
    if kept.failure:
        raise kept.failure.with_traceback(None)
    return kept.text


def _late(provider: Provider) -> str:
    raise _unavailable(provider.name, "it takes too long")


def _unavailable(name: str, why: str) -> UpstreamUnavailable:
    message = f"The identity token for the provider '{name}' cannot be had from Google now ({why})."
    return UpstreamUnavailable(message, retry_after=RETRY_SECONDS)


def _code(said: dict[str, Any], status: int) -> str:
    """Return Google's word for what is wrong, and nothing that could hold more."""
    error = said.get("error")
    word = error.get("status") if isinstance(error, dict) else error
    plain = isinstance(word, str) and word.isascii() and word.replace("_", "").isalpha() and len(word) <= _LONGEST_CODE
    return str(word) if plain else f"status {status}"


def _end(token: str, name: str) -> float:
    """Return until when a token is good; who is to check it is the service."""
    parts = token.split(".")
    payload = parts[1] if len(parts) == _PARTS and token.isascii() and token.isprintable() else ""
    try:
        claims = decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise UpstreamError(f"What Google gives as identity token for the provider '{name}' is none.") from error
