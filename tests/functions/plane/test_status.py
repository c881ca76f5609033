"""What works now, as the status says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.plane import build

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

PATH = "/api/ai/status"


def breaks(wire: Wire, _request: Request) -> None:
    """Fail as a server does."""
    wire.answer(b"{}", "500 Internal Server Error")


def test_all_is_well(rig: Rig) -> None:
    """Providers with an address and a key are available, the others are not configured."""
    answer = rig.call("GET", PATH)
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.json["agents"] == {"orchestrator": "available", "router": "available", "ensemble": "available"}
    expected = {"openai": "available", "second": "available", "elsewhere": "unconfigured"}
    assert answer.json["models"].items() >= expected.items()


def test_a_provider_rests_when_all_its_targets_do(rig: Rig) -> None:
    """One that still serves keeps it available."""
    rig.valkey.hset("{default}:target:second:two", "until", 99_999_999_999_999)
    rig.valkey.hset("{default}:target:openai:one", "until", 99_999_999_999_999)
    answer = rig.call("GET", PATH)
    assert answer.json["models"].items() >= {"openai": "available", "second": "resting"}.items()
    assert answer.json["status"] == "degraded"
    rig.valkey.hset("{default}:target:second:two", "until", 1)  # it has rested
    assert rig.call("GET", PATH).json["status"] == "ok"


def test_it_probes_nobody(rig: Rig) -> None:
    """A target that has rested waits for a request that really asks it."""
    rig.valkey.hset("{default}:target:openai:gpt-4o-2024", "until", 1)
    rig.call("GET", PATH)
    assert rig.valkey.hget("{default}:target:openai:gpt-4o-2024", "probe") is None


def test_it_answers_while_the_store_is_down(rig: Rig) -> None:
    """And says that nobody is admitted then."""
    down = build({**rig.environment, "VALKEY_PORT": "1"})
    rig.gateway = rig.gateway._replace(admission=down.admission)
    answer = rig.call("GET", PATH)
    assert answer.status == 200
    assert answer.json["status"] == "down"
    assert answer.json["agents"]["orchestrator"] == "unavailable"
    assert answer.json["models"]["openai"] == "available"


def test_what_really_breaks_is_seen(rig: Rig) -> None:
    """After five failures of the last of its targets that served, a provider rests."""
    served = {target.id for model in rig.gateway.catalog.models.values() for target in model.targets}
    for target in served - {"openai:gpt-4o-2024"}:
        rig.valkey.hset(f"{{default}}:target:{target}", "until", 99_999_999_999_999)
    rig.upstream.default = breaks
    for _ in range(2):  # of three tries each
        assert rig.call("GET", PATH).json["models"]["openai"] == "available"
        rig.chat(stream=False)
    assert rig.call("GET", PATH).json["models"]["openai"] == "resting"
