"""`GET /openapi.json`, judged by a tool that none of us wrote: it is valid, whole, and takes what the gateway takes."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.admin import described
from shared.manifest import ROUTES
from tests.e2e.stdy import judged, serving
from tests.functions.plane.languages import LANGUAGES, VECTORS
from tests.functions.plane.requests import RICH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("node")
DOCUMENT: dict[str, Any] = json.loads(described())
TAKEN = [
    *((LANGUAGES[name].path, LANGUAGES[name].fields | more) for name in LANGUAGES for more in RICH.get(name, [{}])),
    (VECTORS.path, VECTORS.fields | {"encoding_format": "base64", "dimensions": 8}),
    ("/v1/moderations", {"input": ["Hello", "you"]}),
    ("/v1/rerank", {"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}),
    ("/admin/keys", {"name": "ci", "tier": "free", "limits": {"concurrency": 2}, "budget": {"daily_usd": "0.10"}}),
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return where stdy stands in for the gateway."""
    with serving(DOCUMENT, tmp_path_factory.mktemp("openapi")) as port:
        yield port


def held(port: int, path: str, fields: dict[str, Any]) -> list[str]:
    """Send a request; return what it lacks, by the document."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"content-type": "application/json", "authorization": "Bearer nexus_x"}
        connection.request("POST", path, json.dumps(fields), headers)
        found = connection.getresponse().headers
    finally:
        connection.close()
    count = int(found["x-steady-error-count"])
    return [found[f"x-steady-error-{number}-message"] for number in range(1, count + 1)]


def test_it_is_valid(tmp_path: Path) -> None:
    """Without as much as a warning; each operation has a name of its own for those who make clients of it."""
    assert judged(DOCUMENT, tmp_path) == ""
    names = [one["operationId"] for operations in DOCUMENT["paths"].values() for one in operations.values()]
    assert len(set(names)) == len(names)


def test_every_route_is_in_it() -> None:
    """With what it asks of callers; of the administration's, which have a table of their own, the folder."""
    for route in ROUTES:
        if route.path == "/admin/{id+}":
            continue
        operation = DOCUMENT["paths"][route.path.replace("+}", "}")][route.method.lower()]
        assert ({} in operation.get("security", DOCUMENT["security"])) == (route.auth == "none"), route
        assert operation["responses"].keys() == {"200", "default"}, route


@pytest.mark.parametrize(("path", "fields"), TAKEN, ids=[f"{number} {path}" for number, (path, _) in enumerate(TAKEN)])
def test_what_the_gateway_takes_is_right_by_it(port: int, path: str, fields: dict[str, Any]) -> None:
    """And what it refuses is wrong."""
    model = {} if path.startswith("/admin") else {"model": "m"}
    assert held(port, path, model | fields) == []
    assert held(port, path, {"modell": "m"})
