"""What limits are of: `key:...`, `user:...`, `team:...`, `model:...`, `org`, `tier:...`, `class:...`.

All but the last two can have a budget too. Users are our own, or another issuer's (`user:okta:00u1`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from functions import offered
from functions.registry import Unknown
from shared.core import keys
from shared.core.limits import ENDPOINTS
from shared.core.principals import USER_ID, is_foreign

if TYPE_CHECKING:
    from functions.registry import Item
    from functions.visit import Visit

_ON_DEMAND = frozenset({"org", "model", "tier", "class"})  # there is a record once somebody limits them
_FORMS = "A scope is org, key:ID, user:ID, team:ID, model:NAME, tier:NAME or class:NAME."


class Scope(NamedTuple):
    """One of them: as administrators write it, and where its record is."""

    text: str
    kind: str
    sort_key: str

    def fresh(self, org: str) -> Item | None:
        """Return what stands for the record where there need not be one."""
        foreign = self.kind == "user" and is_foreign(self.sort_key.removeprefix("user#"))
        return {"pk": org, "sk": self.sort_key} if foreign or self.kind in _ON_DEMAND else None


def scope(visit: Visit, sent: str) -> Scope:
    """Read a scope of the caller's organization out of a URL.

    Raises:
        Unknown: it can be none.
    """
    text = unquote(sent)
    kind, _, name = text.partition(":")
    if text == "org":
        return Scope(text, kind, "org")
    known = {
        "key": keys.org_of(name) == visit.org,
        "user": bool(USER_ID.fullmatch(name)) or is_foreign(name),
        "team": bool(USER_ID.fullmatch(name)),
        "model": kind == "model" and _is_model(visit, name),
        "class": name in ENDPOINTS,
        "tier": name in visit.control.projection.tiers,
    }
    if kind not in known:
        raise Unknown("scope", _FORMS)
    if not known[kind]:
        there_are = {"class": ENDPOINTS, "tier": visit.control.projection.tiers}.get(kind)
        if there_are:
            raise Unknown(kind, f"There are {', '.join(there_are)}.")
        raise Unknown(kind, offered.hint(name, offered.names(visit))) if kind == "model" else Unknown(kind)
    return Scope(text, kind, f"{kind}#{name}")


def _is_model(visit: Visit, name: str) -> bool:
    """Tell whether there is such a model or alias: in the deployed catalog, or in one that was pushed since."""
    return name in visit.control.models or name in offered.names(visit)
