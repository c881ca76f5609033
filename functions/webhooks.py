"""Webhooks: which addresses one may give, how what is sent there is signed, and how it gets there.

Organizations choose the addresses, so they are never trusted: https, a public host, no redirect, a short deadline, and
of the answer nothing but its status. The signature is as at Stripe, so that receivers know how to check it:
`x-nexus-signature: t=<epoch seconds>,v1=<hex HMAC-SHA256, under the secret, of "<t>." and the body>`.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from shared.core.addresses import is_public
from shared.core.errors import BadRequest, UpstreamFailed
from shared.edge.http import Http
from shared.edge.public import PublicResolver
from shared.providers.adapter import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

PATIENCE_SECONDS: Final = 5.0  # for all of an exchange
CONNECT_SECONDS: Final = 2.0
LONGEST: Final = 2000  # characters of an address
_GOOD: Final = range(200, 300)
_INTERNAL: Final = (".internal", ".local", ".localhost", ".home.arpa", ".")
_WANTED: Final = "Send an https address that can be reached from the internet, such as https://hooks.example.com/nexus."


class UndeliveredError(Exception):
    """A message did not get through; the text says why, without the address, which may be a secret."""


class Webhooks(NamedTuple):
    """The way to them. `loopback` allows plain HTTP and this machine: only a local run sets that."""

    loopback: bool
    now: Callable[[], float]

    def send(self, address: str, secret: str, mark: str, body: bytes) -> None:
        """Deliver a JSON body that is known by `mark`.

        Raises:
            UndeliveredError: it was not taken with a status of success.
        """
        headers = {
            "content-type": "application/json",
            "user-agent": "AI-Nexus",
            "x-nexus-alert": mark,
            "x-nexus-signature": signature(secret, int(self.now()), body),
        }
        http = Http(names=PublicResolver(loopback=self.loopback))
        try:
            with http.post(HttpRequest(address, headers, body), PATIENCE_SECONDS, CONNECT_SECONDS) as answer:
                if answer.head.status not in _GOOD:
                    raise UndeliveredError(f"It answered with status {answer.head.status}.")
        except UpstreamFailed as error:
            raise UndeliveredError(f"{type(error).__name__}: {type(error.__cause__ or error).__name__}.") from error
        finally:
            http.drop()


def signature(secret: str, now: int, body: bytes) -> str:
    """Sign a body at an epoch second."""
    return f"t={now},v1={hmac.digest(secret.encode(), f'{now}.'.encode() + body, 'sha256').hex()}"


def check(address: str, *, loopback: bool) -> None:
    """Let an address pass that may be a webhook's; where its name leads is looked at when something is sent.

    Raises:
        BadRequest: it may not.
    """
    try:
        url = urlsplit(address)
        _ = url.port
    except ValueError as error:
        raise BadRequest(f"The field 'webhook' is no address. {_WANTED}", param="webhook") from error
    if wrong := _wrong(address, url, loopback=loopback):
        raise BadRequest(f"The field 'webhook' is not usable: {wrong}. {_WANTED}", param="webhook")


def shown(address: str) -> str:
    """Return what may be shown of an address: with some receivers the path is all that one must know to write there."""
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc}/..."


def _wrong(address: str, url: SplitResult, *, loopback: bool) -> str:
    if len(address) > LONGEST or not address.isascii() or not address.isprintable() or " " in address:
        return f"it has up to {LONGEST} characters, all of them of ASCII, and no space"
    if url.scheme != "https" and not (loopback and url.scheme == "http"):
        return "it must begin with https://"
    if url.username is not None or url.password is not None or url.fragment:
        return "it holds a name, a password or a fragment"
    host = url.hostname or ""
    if loopback and (host in {"localhost", "::1"} or host.startswith("127.")):
        return ""
    literal = ":" in host or host.replace(".", "").isdigit()
    if (literal and not is_public(host)) or (not literal and ("." not in host or host.endswith(_INTERNAL))):
        return "its host is none of the public internet"
    return ""
