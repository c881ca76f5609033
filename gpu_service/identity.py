"""Identity tokens of Google's: who signed them, for whom, until when, and whether their account may call.

The rules of form and the checks are the gateway's own (`shared/core/tokens.py`, `shared/core/claims.py`); nothing of
a token says where keys come from. Loaded where identity tokens are asked for alone: cryptography is dear to load.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

from gpu_service.errors import IdentityUnknown
from shared.core.claims import Issuer
from shared.core.errors import Forbidden, Unauthorized
from shared.core.tokens import BadToken
from shared.edge.jwks import LARGEST, PATIENCE_SECONDS, Jwks, JwksUnavailableError
from shared.edge.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_service.guard import Identity

_MOST: Final = 1024  # tokens that are known to be good
_TRUST: Final = 300.0  # seconds that a good token is not looked at again: a key that is withdrawn counts so much longer


class Identities:
    """Knows good tokens; `now` is in epoch seconds. One thread verifies, so that a slow provider stalls no request."""

    def __init__(
        self, rules: Identity, fetch: Callable[[str], bytes] | None = None, now: Callable[[], float] = time.time
    ) -> None:
        first, *others = rules.audiences
        issuer = Issuer("google", rules.issuer, first, algorithms=("RS256",), others=frozenset(others))
        keys = Jwks(rules.jwks_url, fetch or read, now)
        self._verifier = Verifier({rules.issuer: (issuer, keys)}, now)
        self._emails = rules.emails
        self._now = now
        self._known: OrderedDict[bytes, float] = OrderedDict()  # digests, and until when they are believed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="identity")

    async def check(self, text: str) -> None:
        """Let a token pass.

        Raises:
            Unauthorized: it is refused.
            Forbidden: it is good, and its account may not call.
            IdentityUnknown: nobody can say now, as the provider's keys cannot be had.
        """
        digest = hashlib.sha256(text.encode("latin-1", "replace")).digest()
        if self._known.get(digest, 0.0) > self._now():
            return
        try:
            until = await asyncio.get_running_loop().run_in_executor(self._thread, self._verified, text)
        except BadToken as error:
            raise Unauthorized(str(error), headers={"www-authenticate": 'Bearer error="invalid_token"'}) from error
        except JwksUnavailableError as error:
            raise IdentityUnknown(
                "Who calls cannot be verified now: the identity provider's keys cannot be read.", retry_after=5
            ) from error
        self._known[digest] = until
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def _verified(self, text: str) -> float:
        _, said = self._verifier.verify(text)
        email = said.get("email")
        if said.get("email_verified") is not True or not isinstance(email, str) or email.lower() not in self._emails:
            raise Forbidden("The token is good, but IDENTITY_EMAILS does not name its account with a verified address.")
        return min(float(said["exp"]), self._now() + _TRUST)


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere."""

    def redirect_request(self, *_: object) -> None:
        """Give no other request to make, so that the answer is an error."""


def read(url: str) -> bytes:
    """Give what `url` serves: no redirect, no proxy, in a bounded time and size.

    Raises:
        JwksUnavailableError: it does not serve that.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Straight)
    ends = time.monotonic() + PATIENCE_SECONDS
    found = b""
    try:
        with opener.open(url, timeout=PATIENCE_SECONDS) as answer:
            while piece := answer.read1(65_536):
                found += piece
                if len(found) > LARGEST or time.monotonic() > ends:
                    raise JwksUnavailableError("The identity provider's keys are too long, or too long in coming.")
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise JwksUnavailableError(f"The identity provider cannot be reached: {type(error).__name__}.") from error
    return found
