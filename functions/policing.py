"""Tells Valkey what the Directory says of the scopes of a caller, where the admission script knows nothing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core import policies, principals
from shared.core.errors import StoreUnavailable, Unauthorized
from shared.edge.aws import AwsError
from shared.edge.directory import BrokenRecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.core.catalog import Tier
    from shared.core.principals import Principal
    from shared.edge.admission import Admission
    from shared.edge.directory import Directory


def project(
    admission: Admission, directory: Directory, tiers: Mapping[str, Tier], principal: Principal, scopes: Iterable[str]
) -> None:
    """Tell it of `scopes`, some of those that a request of `principal` counts against.

    Raises:
        Unauthorized: there is no such key any more.
        StoreUnavailable: one of the stores cannot be reached.
    """
    try:
        told = [(scope, *_policy(directory, tiers, principal, scope)) for scope in scopes]
    except (AwsError, BrokenRecordError) as error:
        raise StoreUnavailable("The gateway cannot look up this key now.", retry_after=1) from error
    for scope, version, fields in told:
        admission.tell(principal.org, scope, version, fields)


def _policy(
    directory: Directory, tiers: Mapping[str, Tier], principal: Principal, scope: str
) -> tuple[int, dict[str, str | int]]:
    """Read what the Directory says of a scope: version and fields, the same for one of which it says nothing."""
    kind, _, name = (f"model:{scope.partition(':')[2]}" if scope.startswith("alias:") else scope).partition(":")
    if kind == "class":
        endpoint = name.partition(":")[0]
        said = directory.item(principal.org, f"class#{endpoint}", consistent=True) or {}
        return int(said.get("version", 0)), policies.endpoint_policy(endpoint, said)
    if kind != "key":
        place = kind if kind == "org" else f"{kind}#{name}"
        found = directory.item(principal.org, place, consistent=True, buried=True) or {}
        return int(found.get("version", 0)), policies.policy(found)
    edited = directory.item(principal.org, f"tier#{principal.tier}", consistent=True)
    if principals.is_token(name):
        return policies.key_policy({"tier": principal.tier, "version": 0}, tiers, edited)
    record = directory.key(principal.org, name, consistent=True)
    if record is None:
        raise Unauthorized("This API key does not exist any more.")
    if record.tier != principal.tier:
        edited = directory.item(principal.org, f"tier#{record.tier}", consistent=True)
    return policies.key_policy(record._asdict(), tiers, edited)
