"""Roles against routes: what the manifest says a route needs is what the function behind it asks of its caller."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from functions import admin, batches, gateway
from functions.batches import Batches
from functions.control import Control
from functions.plane import Gateway
from shared.core.principals import MAY, Principal, Role, token_key_id
from shared.edge.telemetry import Telemetry
from shared.manifest import ROUTES
from tests.functions.plane.rig import Client, Context

if TYPE_CHECKING:
    from shared.parts import Route

CLOSED: Final = [route for route in ROUTES if route.needs]
PAIRS = [(route, role) for route in CLOSED for role in MAY]


class Nothing:
    """A part that must not be needed before the role is known; whoever is let in fails on it, but not with a 403."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(name)


class Unchanged(Nothing):
    """A Directory that knows nothing newer of the caller than the authorizer remembers."""

    def find(self, _org: str, _sort: str) -> None:
        """Find nothing."""

    def item(self, _org: str, _sort: str, *, consistent: bool) -> None:
        """Find nothing."""
        assert consistent


def _parts(kind: Any) -> Any:
    """Make what outlives a request: a voice, a clock, and who callers are."""
    known = {"telemetry": Telemetry("test"), "now": lambda: 0.0, "registry": Unchanged(), "directory": Unchanged()}
    return kind._make(known.get(name, Nothing()) for name in kind._fields)


def _event(route: Route, role: str) -> dict[str, Any]:
    caller = Principal(token_key_id("default", "free", "ann"), "default", role, "free", (), 0, user="ann")
    path = route.path.replace("{id+}", "x").replace("{", "").replace("}", "")
    return {
        "httpMethod": route.method,
        "resource": route.path,
        "path": path,
        "pathParameters": {"id": "x"},
        "requestContext": {"authorizer": caller.context(), "resourcePath": route.path, "httpMethod": route.method},
        "headers": {},
        "body": "{}",
        "isBase64Encoded": False,
    }


def _code(route: Route, role: str) -> tuple[int, str]:
    """Call the function behind a route as a caller of `role`: status, and the code of the error if it is one."""
    event = _event(route, role)
    if route.function != "admin":
        client = Client()
        if route.function == "gateway":
            gateway.serve(event, Context(), client, _parts(Gateway))
        else:
            batches.serve(event, Context(), client, _parts(Batches))
        status, body = client.status, client.json
    else:
        answer = admin.serve(event, Context(), _parts(Control))
        status, body = answer["statusCode"], json.loads(answer["body"])
    return status, body.get("error", {}).get("code", "")


def test_all_functions_are_asked() -> None:
    """Another function with closed routes needs a way in above."""
    assert {route.function for route in CLOSED} == {"gateway", "admin", "batches"}


@pytest.mark.parametrize(("route", "role"), PAIRS, ids=[f"{r.method}-{r.path}-{role}" for r, role in PAIRS])
def test_a_route_lets_in_exactly_the_roles_that_may(route: Route, role: Role) -> None:
    """Whose role lacks what the route needs gets 403 before any store is touched; everybody else gets past that."""
    refused = _code(route, role) == (403, "permission_denied")
    assert refused == (route.needs not in MAY[role])


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: f"{route.method}-{route.path}")
def test_an_unknown_role_opens_nothing(route: Route) -> None:
    """A role that stands in no table is refused everywhere."""
    for role in ("", "root", "Admin"):
        assert _code(route, role) == (403, "permission_denied")
