"""One rig for the tests of the data plane; servers live as long as the session, state as long as a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from shared.core.catalog import FILE, Alias, Catalog, Member, Model, Provider, Serving, Target, Tier, Timeouts
from shared.core.pricing import Price, Rates
from shared.edge import snapshot
from shared.edge.telemetry import Telemetry
from tests.functions.plane.rig import Aws, Rig, built, item, well
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdk.local.valkey import Valkey

HASTY = Timeouts(5, 0.02, 0.03)  # for whom never says a thing
CATALOG = Catalog(
    version="test",
    providers={
        "openai": Provider("openai", "openai", "https://api.invalid/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
        "second": Provider("second", "openai", "", "SECOND_URL", ""),
        "claude": Provider("claude", "anthropic", "", "CLAUDE_URL", "CLAUDE_KEY"),
        "bedrock": Provider("bedrock", "bedrock", "", "BEDROCK_URL"),
        "gemini": Provider("gemini", "gemini", "", "GEMINI_URL"),
        "elsewhere": Provider("elsewhere", "openai", "https://elsewhere.invalid/v1", "", "ELSEWHERE_KEY"),
    },
    models={
        "gpt-4o": Model("gpt-4o", "chat", (Target("openai", "gpt-4o-2024"),), "openai", 7),
        "both": Model("both", "chat", (Target("openai", "one"), Target("second", "two")), "openai"),
        "org/embed": Model("org/embed", "embedding", (Target("openai", "text-embedding-3-small"),), "org"),
        "short": Model("short", "chat", (Target("openai", "short"),), "openai", max_output=5, capabilities=("stream",)),
        "patchy": Model(
            "patchy",
            "chat",
            (Target("openai", "one", timeouts=Timeouts(1, 0.3, 0.6)),),
            "openai",
            serving=Serving(fallbacks=("far", "gpt-4o")),
        ),
        "careful": Model(
            "careful", "chat", (Target("openai", "one"),), "openai", serving=Serving(degraded="Please come back later.")
        ),
        "quick": Model(
            "quick", "chat", (Target("openai", "one"), Target("second", "two")), "openai", serving=Serving("fastest")
        ),
        "idle": Model(
            "idle",
            "chat",
            (Target("openai", "one"), Target("second", "two", 2)),
            "openai",
            serving=Serving("least_loaded"),
        ),
        "claude": Model("claude", "chat", (Target("claude", "claude-1", max_output=99),), "anthropic", max_output=99),
        "nova": Model("nova", "chat", (Target("bedrock", "us.nova-1:0", region="eu-west-1"),), "amazon"),
        "gemini": Model("gemini", "chat", (Target("gemini", "gemini-1"),), "google"),
        "org/judge": Model("org/judge", "moderation", (Target("openai", "verdict-1"),), "org"),
        "org/rank": Model("org/rank", "rerank", (Target("openai", "verdict-1"),), "org"),
        "hedged": Model(
            "hedged", "chat", (Target("openai", "one"), Target("second", "two")), "openai", serving=Serving(hedge=0.2)
        ),
        "frail": Model("frail", "chat", (Target("openai", "gpt-4o-2024", timeouts=Timeouts(5, 5, 0.25)),), "openai"),
        "hasty": Model("hasty", "chat", (Target("openai", "gpt-4o-2024", timeouts=HASTY),), "openai"),
        "org/hasty": Model(
            "org/hasty", "embedding", (Target("openai", "text-embedding-3-small", timeouts=HASTY),), "org"
        ),
        "alone": Model("alone", "chat", (Target("openai", "gpt-4o-2024"),), "openai", serving=Serving(hedge=0.2)),
        **{
            name: Model(name, "chat", (target, Target("second", "two")), "us", quality=49, serving=Serving(hedge=0.2))
            for name, target in {
                "raced-gpt": Target("openai", "one"),
                "raced-claude": Target("claude", "claude-1", max_output=99),
                "raced-gemini": Target("gemini", "gemini-1"),
                "raced-nova": Target("bedrock", "us.nova-1:0", region="eu-west-1"),
            }.items()
        },
        "mute": Model(
            "mute",
            "chat",
            (Target("claude", "a"), Target("gemini", "b"), Target("bedrock", "c")),
            "us",
            quality=49,
            serving=Serving(fallbacks=("gpt-4o",)),
        ),
        "mini": Model("mini", "chat", (Target("openai", "mini-1"),), "openai"),
        "backed": Model(
            "backed", "chat", (Target("openai", "gpt-4o-2024"),), "openai", serving=Serving(fallbacks=("mini",))
        ),
        "far": Model("far", "chat", (Target("elsewhere", "far"),), "elsewhere"),
    },
    tiers={"free": Tier(2, 10, 0, 1), "pro": Tier(600, 0, 0, 50)},
    aliases={
        "fast": Alias("fast", "chat", (Member("short"), Member("both")), "us", serving=Serving("cheapest")),
        "pair": Alias("pair", "chat", (Member("gpt-4o"), Member("mini")), "us"),
        "raced": Alias("raced", "chat", (Member("gpt-4o"), Member("mini")), "us", serving=Serving(hedge=0.2)),
    },
    prices={
        "openai": {
            "gpt-4o-2024": Price(Rates(2_500_000_000, 1_250_000_000, 10_000_000_000)),
            "mini-1": Price(Rates(250_000_000, 125_000_000, 1_000_000_000)),
            "text-embedding-3-small": Price(Rates(20_000_000, 20_000_000, 0)),
        },
        "claude": {"*": Price(Rates(2_000_000_000, 200_000_000, 10_000_000_000, 2_500_000_000, 4_000_000_000))},
    },
)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A provider that behaves until it is told otherwise."""
    server = Upstream(well)
    yield server
    server.stop()


@pytest.fixture
def rig(store_server: Valkey, upstream: Upstream, tmp_path: Path) -> Iterator[Rig]:
    """A gateway built as in production, with everything around it on loopback; pauses are noted and not made."""
    with store_server.client() as client:
        client.flushall()
    aws = Aws({"OPENAI_API_KEY": "sk-provider-secret", "CLAUDE_KEY": ["key-1", "key-2"]}, item())
    endpoint = Upstream(aws.answer)
    tmp_path.joinpath(FILE).write_bytes(msgspec.json.encode(CATALOG))
    environment = {
        "STAGE": "test", "DIRECTORY_TABLE": "Directory", "PROVIDERS_SECRET": "providers",
        "VALKEY_HOST": store_server.host, "VALKEY_PORT": str(store_server.port), "VALKEY_TLS": "false",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s",
        "OPENAI_BASE_URL": f"{upstream.url}/v1", "SECOND_URL": f"{upstream.url}/second",
        "CLAUDE_URL": upstream.url, "BEDROCK_URL": upstream.url,
        "GEMINI_URL": upstream.url,
        "LAMBDA_TASK_ROOT": str(tmp_path),
    }  # fmt: skip
    lines: list[dict[str, object]] = []
    pauses: list[float] = []
    known = len(snapshot.get_before_snapshot())
    gateway = built(environment)._replace(
        telemetry=Telemetry("test", lambda line: lines.append(json.loads(line))), pause=pauses.append
    )
    yield Rig(gateway, upstream, aws, store_server.client(), lines, pauses, environment)
    for close in snapshot.get_before_snapshot()[known:]:
        close()
    endpoint.stop()
