"""Who gets a token, and what stands in it: who somebody is, and nothing of what they may."""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from functions import passwords
from functions.oauth import Client, OAuthError, Password
from shared.core import keys
from shared.core.claims import AUDIENCE
from shared.core.principals import USER_ID, token_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.edge.attempts import Attempts
    from shared.edge.directory import KeyRecord
    from shared.edge.signing import SigningKeys
    from shared.edge.users import UserRecord

LIFE = 3600  # seconds
_ORG = re.compile(r"[a-z0-9]{1,20}")
_WRONG = "The user does not exist, the password is wrong, or the user may not log in with one."
_UNKNOWN = "The client does not exist, its secret is wrong, or its key is revoked or has expired."


class Token(NamedTuple):
    """A token, how many seconds it lives, and the principal it stands for."""

    text: str
    life: int
    principal: str


class Issuing(NamedTuple):
    """What it takes to tell who somebody is; both lookups take an organization and an id, and see every write."""

    issuer: str
    signing: SigningKeys
    attempts: Attempts
    user: Callable[[str, str], UserRecord | None]
    key: Callable[[str, str], KeyRecord | None]
    pepper: Callable[[], str]
    now: Callable[[], float] = time.time

    def issue(self, grant: Password | Client, address: str) -> Token:
        """Return a token for whoever made the request, from `address`.

        Raises:
            OAuthError: nobody that is known.
            RateLimited: too many attempts.
            AwsError, BrokenRecordError, SigningSecretError, StoreUnavailable: it cannot be found out now.
        """
        return self._user(grant, address) if isinstance(grant, Password) else self._client(grant)

    def _user(self, grant: Password, address: str) -> Token:
        if not (_ORG.fullmatch(grant.org) and USER_ID.fullmatch(grant.user)):
            raise OAuthError("invalid_grant", _WRONG)
        self.attempts.count(grant.org, grant.user, address)
        known = self.user(grant.org, grant.user)
        stored = None if known is None or known.disabled else known.password_hash
        if not passwords.verify(stored, grant.password) or known is None:
            raise OAuthError("invalid_grant", _WRONG)
        self.attempts.forget(grant.org, grant.user, address)
        principal = token_key_id(known.org, known.tier, known.id)
        who = {"kind": "user", "org": known.org, "sub": known.id}
        return self._token(who, LIFE, principal, known.tokens_since)

    def _client(self, grant: Client) -> Token:
        """A service's client id is the id of an API key, and its secret is the key: one thing to keep and to revoke."""
        key = keys.parse(grant.secret)
        if key is None or key.id != grant.id:
            raise OAuthError("invalid_client", _UNKNOWN)
        known, now = self.key(key.org, key.id), int(self.now())
        digests = known.hashes(now) if known else (None,)
        opened = [digest for digest in digests if digest and keys.verify(self.pepper(), key, digest)]
        if not opened or known is None:
            raise OAuthError("invalid_client", _UNKNOWN)
        if known.revoked or 0 < known.expires_at <= now:
            raise OAuthError("invalid_client", _UNKNOWN)
        life = min(LIFE, known.expires_at - now) if known.expires_at else LIFE
        who = {"kind": "key", "org": known.org, "sub": known.id, "secret": keys.mark(opened[0])}
        return self._token(who, life, known.id)

    def _token(self, who: Mapping[str, str], life: int, principal: str, since: int = 0) -> Token:
        """Make a token that says `who`; none is older than `since`, or it would be void."""
        now = max(int(self.now()), since)
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            **who,
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "jti": secrets.token_urlsafe(12),
        }
        return Token(self.signing.sign(claims), life, principal)
