"""IAM's verdict on one call, from the policy document that an authorizer returned."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

INVOKE = "execute-api:Invoke"
_KEYS = {"Action", "Effect", "Resource", "Sid"}


class PolicyError(Exception):
    """The document is not one that API Gateway accepts, or uses what is not emulated (conditions, Not...)."""


def allows(document: Mapping[str, Any], resource: str, action: str = INVOKE) -> bool:
    """Say whether `document` lets `action` happen on the ARN `resource`; a matching Deny always wins.

    Raises:
        PolicyError: the document cannot be understood.
    """
    effects = {_effect(item) for item in _list(document.get("Statement")) if _covers(item, action, resource)}
    return effects == {"Allow"}


def check(document: object) -> Mapping[str, Any]:
    """Return `document`, found to be a policy.

    Raises:
        PolicyError: it is not.
    """
    if not isinstance(document, dict) or not _list(document.get("Statement")):
        raise PolicyError("The policy document has no statement.")
    for item in _list(document["Statement"]):
        if not isinstance(item, dict) or not {"Action", "Effect", "Resource"} <= item.keys() <= _KEYS:
            raise PolicyError("A statement has Action, Effect, Resource, perhaps Sid, and nothing else here.")
        _effect(item)
    return document


def _effect(item: Mapping[str, Any]) -> str:
    if item["Effect"] not in {"Allow", "Deny"}:
        raise PolicyError(f"No such effect: {item['Effect']!r}.")
    return str(item["Effect"])


def _covers(item: Mapping[str, Any], action: str, resource: str) -> bool:
    acts = any(_pattern(str(pattern), re.IGNORECASE).fullmatch(action) for pattern in _list(item["Action"]))
    return acts and any(_pattern(str(pattern), 0).fullmatch(resource) for pattern in _list(item["Resource"]))


@lru_cache(maxsize=256)
def _pattern(wildcards: str, flags: int) -> re.Pattern[str]:
    escaped = re.escape(wildcards).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped, flags | re.DOTALL)


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
