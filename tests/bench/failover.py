"""Time that a dead target costs a request, from the gateway's door to its answer, by the way in which it is dead.

A gateway as it is built in production, in this process, with a real Valkey, two targets on loopback and one connection
to each: the first one hangs, refuses connections, or answers 503; then its breaker is open.
"""

from __future__ import annotations

import json
import socket
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cdk.local.valkey import valkey_server
from functions.plane import build
from shared.core.catalog import FILE, Catalog, Model, Provider, Resilience, Serving, Target, Tier, Timeouts
from shared.edge.telemetry import Telemetry
from tests.functions.plane.rig import Aws, Rig, item, well
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.functions.plane.upstream import Request, Wire

ROUNDS = 15
FIRST_CHUNK, HEDGE = 1.0, 0.2  # seconds
NEVER = 10**6  # failures: the breaker stays closed, so that each request meets the fault


class Case(NamedTuple):
    """How the first target is dead, and what the catalog says of it."""

    name: str
    act: Callable[[Wire, Request], None] | None  # None: nobody listens
    hedge: float = 0.0
    failures: int = NEVER


def hang(wire: Wire, _request: Request) -> None:
    """Take the request, and say nothing."""
    wire.hang()


def down(wire: Wire, _request: Request) -> None:
    """Be overloaded."""
    wire.answer(b"{}", "503 Service Unavailable")


CASES = (
    Case("healthy", well),
    Case("503", down),
    Case("refuses connections", None),
    Case(f"hangs, first chunk within {FIRST_CHUNK:.0f} s", hang),
    Case(f"hangs, hedged after {HEDGE:.1f} s", hang, HEDGE),
    Case("hangs, its breaker open", hang, failures=1),
)


def main() -> None:
    """Print a table."""
    print("Streamed chat on two targets, the first of them dead: milliseconds to the whole answer, least (median)")
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as valkey:
        healthy = 0.0
        for case in CASES:
            with _rig(case, Path(folder), valkey.host, valkey.port) as rig:
                rig.valkey = valkey.client()
                rig.valkey.flushall()
                times = sorted(_timed(rig) for _ in range(ROUNDS))
            least, median = times[0], times[len(times) // 2]
            healthy = healthy or least
            print(f"  {case.name:<32}{least:8.1f} ({median:.1f})   lost {least - healthy:8.1f}")


def _timed(rig: Rig) -> float:
    began = time.perf_counter()
    client = rig.chat(model="m")
    taken = time.perf_counter() - began
    assert client.status == 200, client.body
    return taken * 1000


@contextmanager
def _rig(case: Case, folder: Path, host: str, port: int) -> Iterator[Rig]:
    good, aws = Upstream(well), Aws({}, item())
    endpoint = Upstream(aws.answer)
    dead = Upstream(case.act) if case.act else None
    folder.joinpath(FILE).write_bytes(msgspec.json.encode(_catalog(case)))
    environment = {
        "STAGE": "bench", "DIRECTORY_TABLE": "Directory", "PROVIDERS_SECRET": "providers", "VALKEY_HOST": host,
        "VALKEY_PORT": str(port), "VALKEY_TLS": "false", "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s",
        "FIRST_URL": f"{dead.url if dead else f'http://127.0.0.1:{_nobody()}'}/v1", "SECOND_URL": f"{good.url}/v1",
        "LAMBDA_TASK_ROOT": str(folder),
    }  # fmt: skip
    gateway = build(environment)._replace(telemetry=Telemetry("bench", json.loads))
    yield Rig(gateway, good, aws, None, [], [], environment)
    gateway.http.drop()
    gateway.admission.drop()
    for server in filter(None, (good, endpoint, dead)):
        server.stop()


def _catalog(case: Case) -> Catalog:
    targets = (Target("first", "m", timeouts=Timeouts(2, FIRST_CHUNK, 60)), Target("second", "m"))
    return Catalog(
        version="bench",
        providers={name: Provider(name, "openai", "", f"{name.upper()}_URL") for name in ("first", "second")},
        models={"m": Model("m", "chat", targets, "bench", serving=Serving(hedge=case.hedge))},
        tiers={"pro": Tier()},
        resilience=Resilience(breaker_failures=case.failures, breaker_rest=600),
    )


def _nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return int(closed.getsockname()[1])


if __name__ == "__main__":
    main()
