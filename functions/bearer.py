"""Who calls with a token: for the authorizer, which loads this only when the first token comes.

Our own tokens say who somebody is and not what they may: role, tier and team are the Directory's, read anew each
minute, so that a disabled user or a revoked key is not served for as long as a token lives. A token that a service got
for its key is that key: the same limits, budget and revocation. Other issuers' tokens say it all, by configured rules.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from shared.core import claims
from shared.core.principals import VOID
from shared.core.tokens import BadToken
from shared.edge.jwks import Jwks
from shared.edge.jwks_fetch import fetch
from shared.edge.signing import SigningKeys
from shared.edge.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from shared.core.claims import Issuer
    from shared.core.principals import Principal
    from shared.edge.secrets import Secrets
    from shared.edge.settings import AuthorizerSettings
    from shared.edge.users import UserRecord
    from shared.edge.verification import Keys


class Bearers(NamedTuple):
    """What it takes to know the bearer of a token; both lookups take an organization and an id.

    `key` takes the mark of the secret that the token was given for, too, "" for one that has not said it.
    """

    verifier: Verifier
    user: Callable[[str, str], UserRecord | None]
    key: Callable[[str, str, str], Principal]

    def identify(self, text: str) -> Principal:
        """Return who calls.

        Raises:
            BadToken: nobody who may; and whatever `key` raises of a key that opens nothing any more.
            AwsError, BrokenRecordError, SigningSecretError, JwksUnavailableError: it cannot be found out now.
        """
        issuer, said = self.verifier.verify(text)
        if issuer.name:
            return issuer.principal(said)
        if said["kind"] == "key":
            return self.key(said["org"], said["sub"], said.get("secret", ""))
        return self._user(said)

    def _user(self, said: Mapping[str, Any]) -> Principal:
        known = self.user(said["org"], said["sub"])
        if known is None or not known.accepts(said["iat"]):
            raise BadToken(VOID)
        return known.principal(said["iat"], said["exp"])


def build(
    settings: AuthorizerSettings,
    secrets: Secrets,
    user: Callable[[str, str], UserRecord | None],
    key: Callable[[str, str, str], Principal],
    now: Callable[[], float] = time.time,
) -> Bearers:
    """Make what `settings` describe; nothing is connected to before it is used."""
    known: dict[str, tuple[Issuer, Keys]] = {
        issuer.issuer: (issuer, Jwks(issuer.jwks_url, fetch, now))
        for issuer in claims.configured(settings.oidc_issuers)
    }
    known[settings.jwt_issuer] = claims.own(settings.jwt_issuer), SigningKeys(secrets, settings.signing_secret)
    return Bearers(Verifier(known, now), user, key)
