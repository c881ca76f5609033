"""Whose a record says it is: a team and a user that there are; and which keys are of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from functions.registry import Item, Registry

_PAGE = 100  # keys
FOREIGN = ":"  # in the ids of another issuer's users, of whom the Directory has no record


def check(registry: Registry, org: str, given: Mapping[str, Any]) -> None:
    """Let pass what names an owner that there is, or none.

    Raises:
        BadRequest: there is no such team or user; it names the field.
        StoreUnavailable: the Directory cannot be reached.
    """
    for kind in ("team", "user"):
        name = given.get(kind)
        if not name or (kind == "user" and FOREIGN in name):
            continue
        found = registry.find(org, f"{kind}#{name}")
        if found is None or found.get("deleted"):
            raise BadRequest(f"There is no {kind} with this id. Make it first.", param=kind)


def keys_of(registry: Registry, org: str, user: str) -> Iterator[Item]:
    """Yield the records of a user's keys, revoked ones too.

    Raises:
        StoreUnavailable: the Directory cannot be reached.
    """
    after, more = None, True
    while more:
        page = registry.page(org, "key#", _PAGE, after)
        yield from (record for record in page.items if record.get("user") == user)
        more = page.more
        after = page.items[-1]["sk"].removeprefix("key#") if page.items else None
