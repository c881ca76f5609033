"""Tells Valkey what the Directory says now of a scope, so that an edit acts on the very next request."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from shared.core import policies
from shared.core.errors import StoreUnavailable
from shared.core.principals import token_key_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.registry import Item, Registry
    from shared.core.catalog import Tier
    from shared.edge.admission import Admission

RETRY_SECONDS = 2.0
MISSED = "The change is stored, but did not reach the gateway's store. Repeat this request, so that it acts at once."
_PAGE = 100


class Projection(NamedTuple):
    """The one way from a record to a policy."""

    registry: Registry
    admission: Admission
    tiers: Mapping[str, Tier]

    def tell(self, record: Item, missed: str | None = MISSED) -> None:
        """Project a record; when that fails, fail with the message `missed`, if it matters at all.

        Raises:
            StoreUnavailable: Valkey cannot be reached, and it matters.
        """
        try:
            self._project(record)
        except StoreUnavailable as error:
            if missed:
                raise StoreUnavailable(missed, retry_after=RETRY_SECONDS) from error

    def open_new(self, org: str) -> None:
        """Let budgets count at once in an organization that was made just now."""
        with suppress(StoreUnavailable):  # then the function that keeps the books does it, within a minute
            self.admission.open_new(org)

    def retell(self, org: str, tier: str) -> None:
        """Project all keys of a tier, whose preset was edited, and the policy of all who call with tokens of it.

        Raises:
            StoreUnavailable: one of the stores cannot be reached.
        """
        try:
            self._retell(org, tier)
        except StoreUnavailable as error:
            raise StoreUnavailable(MISSED, retry_after=RETRY_SECONDS) from error

    def _retell(self, org: str, tier: str) -> None:
        edited = self.registry.find(org, f"tier#{tier}")
        version, fields = policies.key_policy({"tier": tier, "version": 0}, self.tiers, edited)
        self.admission.tell(org, f"key:{token_key_id(org, tier, '')}", version, fields)
        after, more = None, True
        while more:
            page = self.registry.page(org, "key#", _PAGE, after)
            for record in page.items:
                if record["tier"] == tier and not record["revoked"]:
                    self.admission.tell(org, scope_of(record), *policies.key_policy(record, self.tiers, edited))
            more = page.more
            after = page.items[-1]["sk"].removeprefix("key#") if page.items else None

    def _project(self, record: Item) -> None:
        org, kind = record["pk"], record["sk"].partition("#")[0]
        version, fields = record["version"], policies.policy(record)
        if kind == "class":
            fields = policies.endpoint_policy(record["sk"].removeprefix("class#"), record)
        if kind == "key":
            edited = self.registry.find(org, f"tier#{record['tier']}")
            version, fields = policies.key_policy(record, self.tiers, edited)
        self.admission.tell(org, scope_of(record), version, fields)


def scope_of(record: Item) -> str:
    """Return what a record's limits and budget are of: `key:...`, `user:...`, `team:...`, `org:...`, `model:...`."""
    kind, _, name = record["sk"].partition("#")
    return f"{kind}:{name or record['pk']}"
