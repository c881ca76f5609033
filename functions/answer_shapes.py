"""What the administration answers, as OpenAPI: each of its objects with every member, and which route gives which.

They grow: a client must not mind members that it does not know. The tests of the control plane hold each answer against
this, and mind them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from functions import figure_shapes
from functions.figure_shapes import COUNT as _COUNT
from functions.figure_shapes import SPENT as _SPENT
from functions.figure_shapes import TEXT as _TEXT
from functions.figure_shapes import YES as _YES
from functions.figure_shapes import shape as _shape

if TYPE_CHECKING:
    Json = dict[str, Any]

_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_SECONDS: Final = {"type": "integer", "description": "In epoch seconds"}
_SECONDS_OR_NULL: Final = {"type": ["integer", "null"], "description": "In epoch seconds"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_ANYTHING: Final = {"type": ["object", "null"], "additionalProperties": True}
_COUNTS: Final = {"type": "object", "additionalProperties": _COUNT}
_DOLLARS: Final = {"type": "object", "additionalProperties": _TEXT, "description": "In US dollars"}
_OWN: Final = {"limits": _COUNTS, "budget": _DOLLARS, "blocked_until": _SECONDS_OR_NULL}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _page(of: str) -> Json:
    ends = {"first_id": _TEXT_OR_NULL, "last_id": _TEXT_OR_NULL, "has_more": _YES}
    return _shape({"data": {"type": "array", "items": _ref(of)}, **ends}, kind="list")


_KEY: Final = {
    **dict.fromkeys(("id", "name", "display", "last4", "role", "tier"), _TEXT),
    **dict.fromkeys(("team", "user", "api_gateway_key"), _TEXT_OR_NULL),
    **_OWN,
    **dict.fromkeys(("rotated_at", "overlap_until"), _SECONDS_OR_NULL),
    "models": _TEXTS,
    "created_at": _SECONDS,
    "expires_at": _SECONDS,
    "revoked": _YES,
    "version": _COUNT,
    "key": {**_TEXT, "description": "The key itself: only where it was made or rotated just now"},
}
_ONE: Final[dict[str, Json]] = {
    "ApiKey": _shape(_KEY, ("key",), "api_key"),
    "User": _shape(
        {
            "id": _TEXT,
            **dict.fromkeys(("name", "email", "role", "tier", "team"), _TEXT_OR_NULL),
            "models": _TEXTS,
            "disabled": _YES,
            "has_password": _YES,
            **_OWN,
            "created_at": _SECONDS_OR_NULL,
            "version": _COUNT,
        },
        kind="user",
    ),
    "Team": _shape(
        {"id": _TEXT, "name": _TEXT_OR_NULL, **_OWN, "created_at": _SECONDS_OR_NULL, "version": _COUNT}, kind="team"
    ),
    "Organization": _shape(
        {
            "id": _TEXT,
            "name": _TEXT,
            "on_store_loss": _TEXT,
            "created_at": _SECONDS_OR_NULL,
            "version": _COUNT,
            "admin_key": _ref("ApiKey"),
        },
        ("admin_key",),
        "organization",
    ),
    "Block": _shape(
        {
            "id": _TEXT,
            "kind": _TEXT,
            "target": _TEXT,
            "until": _SECONDS,
            "reason": _TEXT_OR_NULL,
            "created_at": _SECONDS_OR_NULL,
            "over": _YES,
        },
        (),
        "block",
    ),
    "Catalog": _shape(
        {
            "id": _TEXT,
            "number": _COUNT,
            "live": _YES,
            "digest": _TEXT,
            "name": _TEXT,
            "created_at": _SECONDS_OR_NULL,
            "catalog": _TEXT_OR_NULL,
        },
        ("catalog",),
        "catalog",
    ),
    "AuditLine": _shape(
        {
            "id": _TEXT,
            "at": {"type": "number", "description": "In epoch seconds"},
            "who": _TEXT_OR_NULL,
            "action": _TEXT,
            "target": _TEXT,
            "before": _ANYTHING,
            "after": _ANYTHING,
        },
        kind="audit_line",
    ),
}
_LISTED: Final = {
    "keys": "ApiKey",
    "users": "User",
    "teams": "Team",
    "organizations": "Organization",
    "blocks": "Block",
    "catalog": "Catalog",
    "audit": "AuditLine",
}
SHAPES: Final[dict[str, Json]] = {
    **_ONE,
    **figure_shapes.SHAPES,
    **{f"{name}Page": _page(name) for name in _ONE},
    "ScopeLimits": _shape(
        {"scope": _TEXT, "limits": _COUNTS, "effective": _COUNTS, "version": _COUNT}, ("effective",), "limits"
    ),
    "ScopeBudget": _shape(
        {"scope": _TEXT, "budget": _DOLLARS, "spent": _DOLLARS, "ceiling": _DOLLARS, "version": _COUNT},
        ("spent", "ceiling"),
        "budget",
    ),
    "Ceiling": _shape({"id": _TEXT, "ceiling": _DOLLARS, "version": _COUNT}, kind="ceiling"),
    "UserExport": _shape(
        {
            "id": _TEXT,
            "user": _ref("User"),
            "block": _ANYTHING,
            "keys": {"type": "array", "items": _ref("ApiKey")},
            "usage": {"type": "array", "items": _shape({"day": _TEXT, **_SPENT})},
            "audit": {"type": "array", "items": _ref("AuditLine")},
        },
        kind="user_export",
    ),
    "AlertsAnswer": _shape(
        {
            "webhook": {**_TEXT_OR_NULL, "description": "Without its path, which may be a secret"},
            "events": _TEXTS,
            "threshold": {**_COUNT, "description": "Percent of a budget, from which on it is told of"},
            "version": _COUNT,
            "signing_secret": {**_TEXT, "description": "Only where a webhook was set just now"},
        },
        ("signing_secret",),
        "alerts",
    ),
    "Erased": _shape({"id": _TEXT, "erased": {"const": True}, "keys_revoked": _COUNT}, kind="user"),
    "Deleted": _shape({"object": _TEXT, "id": _TEXT, "deleted": {"const": True}}),
}
_SPECIAL: Final = {
    **figure_shapes.PATHS,
    "/admin/limits/{name}": "ScopeLimits",
    "/admin/budgets/{name}": "ScopeBudget",
    "/admin/alerts": "AlertsAnswer",
    "/admin/users/{user_id}/export": "UserExport",
    "/admin/users/{user_id}/erase": "Erased",
    "/admin/organizations/{org_id}/ceiling": "Ceiling",
}


def of(path: str, method: str) -> Json:
    """Return the schema of a good answer of the administration."""
    if path in _SPECIAL:
        return _ref("Deleted" if method == "delete" else _SPECIAL[path])
    name = _LISTED[path.split("/")[2]]
    if method == "get" and re.fullmatch(r"/admin/\w+", path):
        return _ref(f"{name}Page")
    return _ref("Deleted" if method == "delete" and name != "ApiKey" else name)
