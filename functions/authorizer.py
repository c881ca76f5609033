"""API Gateway asks this function who calls, before anything else runs; the answer goes to the others as context.

It reads the Directory and nothing else, so that it works while Valkey is down, and keeps what it read for a minute: a
revoked key is refused here within that minute, and at once by the admission script and by the control plane. When the
Directory fails it raises, and API Gateway answers 500: a caller must not be told that its good key is bad. What tokens
need is loaded with the first token: a key's cold start does not pay for cryptography.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from functions.remembered import Remembered
from functions.turns import ORGS
from shared.core import enrolment, keys
from shared.core.principals import Principal, is_token, masked
from shared.edge import snapshot
from shared.edge.aws import DYNAMODB, SECRETS, Aws, AwsError, credentials_from
from shared.edge.directory import FIRST_ORG, BrokenRecordError, Directory
from shared.edge.secrets import Secrets
from shared.edge.settings import AuthorizerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from functions.bearer import Bearers
    from shared.edge.directory import KeyRecord
    from shared.edge.users import UserRecord


class Items(Protocol):
    """The Directory."""

    def item(self, org: str, name: str) -> Mapping[str, Any] | None:
        """Return a record by its sort key."""
        ...


_DOTS = 2  # of a token, between its three parts; a key has none

_HOW = "Send it as Authorization: Bearer nexus_... or as x-api-key: nexus_..."
_AGAIN = "Log in again at /auth/token, or at the identity provider that issued it."
_MISSING = f"No API key was sent. {_HOW}"
_MALFORMED = f"What was sent is not an API key of this gateway. {_HOW}"
_DIFFERENT = "More than one credential was sent, and they differ. Send one API key, in one header."
_UNKNOWN = "This API key does not exist. Check that it was copied whole, or ask an administrator for a new one."
_REVOKED = "This API key is revoked. Ask an administrator for a new one."
_ROTATED = "This API key was rotated. Use its new secret, or get a token for it."
_EXPIRED = "This API key expired on {}. Ask an administrator for a new one."


class RefusedError(Exception):
    """The caller gets 401 with this message, which holds nothing of the key, and nothing that JSON would escape."""


class Authorizer(NamedTuple):
    """What it takes to know a caller."""

    lookup: Callable[[str, str], KeyRecord | None]  # organization and key id
    pepper: Callable[[], str]
    usage_key_prefix: str
    now: Callable[[], float] = time.time
    bearers: Callable[[], Bearers] | None = None  # called for tokens only; None where none are accepted
    look_again: Callable[[str, str], KeyRecord | None] | None = None  # as `lookup`, past what is remembered
    on_store_loss: Callable[[str], str] = lambda _org: ""  # what an organization has chosen, "" for nothing

    def identify(self, event: Mapping[str, Any]) -> Principal:
        """Return who calls.

        Raises:
            RefusedError: nobody who may.
            AwsError, BrokenRecordError: it cannot be found out now.
        """
        credential = _credential(event)
        if self.bearers is not None and credential.count(".") == _DOTS:
            return self._bearer(credential)
        key = keys.parse(credential)
        if key is None:
            raise RefusedError(_MALFORMED)
        record = self.lookup(key.org, key.id)
        opened = self._opened(key, record)
        if not opened and record is not None and self.look_again:
            record = self.look_again(key.org, key.id)  # a rotation may have given it another secret
            opened = self._opened(key, record)
        if not opened or record is None:
            raise RefusedError(_UNKNOWN)
        return _holder(record, self.now(), opened)

    def _opened(self, key: keys.Key, record: KeyRecord | None) -> str:
        """Return the stored digest that `key` has, "" if it has none of them."""
        digests: tuple[str | None, ...] = record.hashes(self.now()) if record else (None,)
        found = [digest for digest in digests if keys.verify(self.pepper(), key, digest)]
        return found[0] or "" if found else ""

    def _bearer(self, token: str) -> Principal:
        from shared.core.tokens import BadToken  # noqa: PLC0415 - see above: nothing of tokens before the first one

        try:
            return self.bearers().identify(token)  # type: ignore[misc]  # the caller has looked
        except BadToken as refusal:
            raise RefusedError(f"{refusal} {_AGAIN}") from refusal

    def verdict(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer API Gateway: a policy for the whole API, and what the other functions or the caller are told.

        Raises:
            AwsError, BrokenRecordError: as `identify`; API Gateway makes a 500 of it.
        """
        try:
            caller = self.identify(event)
        except RefusedError as refusal:
            told = {"message": str(refusal), "code": "invalid_api_key"}
            return {"principalId": "nobody", "policyDocument": _policy("Deny", event["methodArn"]), "context": told}
        return {
            "principalId": caller.key_id,
            "policyDocument": _policy("Allow", event["methodArn"]),
            "context": {
                **caller._replace(on_store_loss=self.on_store_loss(caller.org)).context(),
                "logged_as": masked(caller.key_id, caller.user),  # for the access log alone
            },
            "usageIdentifierKey": self._usage_key(caller),
        }

    def _usage_key(self, caller: Principal) -> str:
        """Return the API Gateway key that the request counts against; users with tokens have none of their own."""
        record = None if is_token(caller.key_id) else self.lookup(caller.org, caller.key_id)
        own = record.enrolment if record else None
        return enrolment.usage_key(self.usage_key_prefix, caller.key_id, caller.tier, own, self.now())


def _holder(record: KeyRecord, now: float, opened: str) -> Principal:
    """Return whom a key stands for that was opened by the secret whose digest begins like `opened`.

    Raises:
        RefusedError: it is revoked, or has expired.
    """
    if record.revoked:
        raise RefusedError(_REVOKED)
    if 0 < record.expires_at <= now:
        raise RefusedError(_EXPIRED.format(time.strftime("%Y-%m-%d", time.gmtime(record.expires_at))))
    return record.principal(keys.mark(opened))


def _credential(event: Mapping[str, Any]) -> str:
    """Return the one credential that was sent, in whichever header, however often."""
    sent = {*_bearers(event), *_values(event, "x-api-key")}
    if len(sent) > 1:
        raise RefusedError(_DIFFERENT)
    credential = sent.pop() if sent else ""
    if not credential:
        raise RefusedError(_MISSING)
    return credential


def _bearers(event: Mapping[str, Any]) -> Iterator[str]:
    for value in _values(event, "authorization"):
        scheme, _, credential = value.partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedError(_MALFORMED if value else _MISSING)
        yield credential.strip(" \t")


def _values(event: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield every value of a header, from both forms in which API Gateway gives them."""
    for known, value in (event.get("headers") or {}).items():
        if known.lower() == name:
            yield value.strip(" \t")
    for known, values in (event.get("multiValueHeaders") or {}).items():
        if known.lower() == name:
            yield from (value.strip(" \t") for value in values)


def _policy(effect: str, method_arn: str) -> dict[str, Any]:
    """Cover the stage and not just this method: API Gateway may use a verdict for the next request too."""
    resource = "/".join(method_arn.split("/")[:2]) + "/*"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def build(environment: Mapping[str, str]) -> Authorizer:
    """Make the authorizer that `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing.
    """
    settings = AuthorizerSettings.from_env(environment)
    credentials = credentials_from(environment)
    vault, table = Aws(SECRETS, settings.aws, credentials), Aws(DYNAMODB, settings.aws, credentials)
    secrets, directory = Secrets(vault), Directory(table, settings.directory_table)
    for connected in (vault, table):
        snapshot.register_before_snapshot(connected.drop)
    # consistent, or a key made a moment ago would be remembered as unknown
    lookup = Remembered(lambda org, key_id: directory.key(org, key_id, consistent=True))
    return Authorizer(
        lookup=lookup,
        pepper=lambda: secrets.get(settings.pepper_secret),
        usage_key_prefix=settings.usage_key_prefix,
        look_again=lookup.again,
        bearers=cache(lambda: _token_holders(settings, secrets, directory, lookup)),
        on_store_loss=chosen_by(directory),
    )


def chosen_by(directory: Items) -> Callable[[str], str]:
    """Return what tells an organization's choice for the loss of the store: "" where it cannot be read."""

    def read(home: str, name: str) -> str:
        try:
            found = directory.item(home, name)
        except (AwsError, BrokenRecordError):
            return ""
        return str((found or {}).get("on_store_loss", ""))

    known = Remembered(read)
    return lambda org: known(FIRST_ORG, f"{ORGS}{org}") or ""


def _token_holders(
    settings: AuthorizerSettings, secrets: Secrets, directory: Directory, lookup: Remembered[KeyRecord]
) -> Bearers:
    from functions import bearer  # noqa: PLC0415 - cryptography is three times the rest of a cold start
    from shared.edge import users  # noqa: PLC0415 - only tokens ask for users

    def user(org: str, name: str) -> UserRecord | None:
        item = directory.item(org, f"user#{name}", consistent=True)
        return None if item is None else users.user(item)

    return bearer.build(settings, secrets, Remembered(user), holder_by_token(lookup))


def holder_by_token(
    lookup: Remembered[KeyRecord], clock: Callable[[], float] = time.time
) -> Callable[[str, str, str], Principal]:
    """Return what tells whom a key stands for, with a token that was given for the key's secret of some mark."""

    def holder(org: str, key_id: str, secret: str) -> Principal:
        found, now = lookup(org, key_id), clock()
        if found and not found.opened_by(secret, now):
            found = lookup.again(org, key_id)
        if not (found and found.opened_by(secret, now)):
            raise RefusedError(_ROTATED if found else _UNKNOWN)
        return _holder(found, now, secret)

    return holder


@cache
def _authorizer() -> Authorizer:
    return build(os.environ)


snapshot.register_before_snapshot(_authorizer)


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Entry point of the authorizer."""
    return _authorizer().verdict(event)
