"""The catalog that people write becomes what the hot path reads, or a complaint that can be acted on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdk.catalog import compile_catalog
from shared.compiler.mistakes import TIERS
from shared.compiler.source import SourceError
from shared.compiler.toml_lines import Lines
from shared.core.catalog import Alias, Member, Serving, Tier, Timeouts, decode
from shared.core.routing import candidates

SHIPPED = Path("shared/data/catalog.toml")
SMALL = """\
# A catalog.
[providers.local]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1/"
stand_in = true

[models."gpt-4.1"]
kind = "chat"
targets = ["local:four", "local"]
owned_by = "me"
created = 1970-01-02

[tiers]
free = { requests_per_minute = 3 }
pro = {}
enterprise = {}
"""


def compiled(text: str, folder: Path) -> bytes:
    """Compile a catalog of this text."""
    path = folder / "catalog.toml"
    path.write_text(text, encoding="utf-8")
    return compile_catalog(path)


def test_the_shipped_catalog_compiles_and_routes() -> None:
    """Chat goes to the stand-in without a key, embeddings to the GPU service; all tiers are there."""
    catalog = decode(compile_catalog(SHIPPED))
    assert set(catalog.tiers) == TIERS
    assert catalog.tiers["free"] == Tier(requests_per_minute=10, requests_per_hour=100, concurrency=5)
    [(_, chat, _)] = candidates("gpt-4o", "chat", catalog, {"simulated", "gpu_service"})
    assert [one.provider.name for one in chat] == ["simulated"]
    [(_, vectors, _)] = candidates("all-MiniLM-L6-v2", "embedding", catalog, {"simulated", "gpu_service"})
    assert [(one.provider.name, one.provider.base_url_env, one.provider.secret) for one in vectors] == [
        ("gpu_service", "GPU_SERVICE_URL", "GPU_SERVICE_TOKEN")
    ]


def test_everything_written_is_compiled(tmp_path: Path) -> None:
    """Names on both sides, a day as epoch seconds, an address without its last slash."""
    catalog = decode(compiled(SMALL, tmp_path))
    model = catalog.models["gpt-4.1"]
    assert [(target.provider, target.model) for target in model.targets] == [("local", "four"), ("local", "gpt-4.1")]
    assert (model.created, model.context) == (86_400, 0)
    assert catalog.providers["local"].base_url == "http://127.0.0.1:9/v1"
    assert catalog.tiers["free"].requests_per_minute == 3


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    """Comments do not change it, values do; the same file gives the same bytes."""
    first = compiled(SMALL, tmp_path)
    assert compiled(SMALL + "# more\n", tmp_path) == first
    assert decode(compiled(SMALL.replace("= 3", "= 4"), tmp_path)).version != decode(first).version


RICH = (
    SMALL.replace(
        'targets = ["local:four", "local"]',
        'targets = ["local:four", { provider = "local", weight = 3, region = "mars", connect_seconds = 1 }]\n'
        'capabilities = ["tools", "stream"]\nfallbacks = ["any"]',
    ).replace(
        "stand_in = true",
        'region = "home"\nfirst_chunk_seconds = 9\ntotal_seconds = 30',
    )
    + """
[aliases.any]
models = ["gpt-4.1", { model = "gpt-4.1", weight = 2 }]
strategy = "weighted"

[resilience]
tries = 4
"""
)


def test_targets_take_from_their_provider_what_they_leave_out(tmp_path: Path) -> None:
    """Region and timeouts; weights and aliases are as written."""
    catalog = decode(compiled(RICH, tmp_path))
    first, second = catalog.models["gpt-4.1"].targets
    assert (first.id, first.weight, first.region, first.timeouts) == ("local:four", 1, "home", Timeouts(2, 9, 30))
    assert (second.id, second.weight, second.region, second.timeouts) == (
        "local:gpt-4.1", 3, "mars", Timeouts(1, 9, 30),
    )  # fmt: skip
    assert catalog.models["gpt-4.1"].capabilities == ("stream", "tools")
    assert catalog.models["gpt-4.1"].serving.fallbacks == ("any",)
    assert catalog.aliases["any"] == Alias(
        "any", "chat", (Member("gpt-4.1"), Member("gpt-4.1", 2)), "ai-nexus", 0, Serving("weighted")
    )
    assert catalog.resilience.tries == 4


MISTAKES: list[tuple[str, str, str]] = [
    # what is replaced, by what, the complaint after the file's name
    ('"openai"', '"klingon"', ":3: providers.local.dialect: must be 'anthropic'"),
    ("http://127.0.0.1:9/v1/", "http://example.com/v1", ":4: providers.local.base_url: must start with https://"),
    ("http://127.0.0.1:9/v1/", "https://u:p@example.com", ":4: providers.local.base_url: must be a plain address"),
    ('base_url = "http://127.0.0.1:9/v1/"\n', "", ":2: providers.local: needs base_url, base_url_env, or both"),
    ("stand_in = true", 'stand_in = "yes"', ':5: providers.local.stand_in: "yes" is wrong: it must be a valid boolean'),
    ("stand_in = true", 'secret = "lower"', ':5: providers.local.secret: "lower" does not match'),
    (
        "stand_in = true",
        'api_key = "sk-1"',
        ":5: providers.local.api_key: is not a field here; the fields are dialect,",
    ),
    (
        'kind = "chat"',
        'kind = "chatty"',
        ":8: models.\"gpt-4.1\".kind: must be 'chat', 'embedding', 'moderation' or 'rerank'",
    ),
    ('kind = "chat"\n', "", ':7: models."gpt-4.1".kind: is missing; add it'),
    ('["local:four", "local"]', "[]", ':9: models."gpt-4.1".targets: a list is wrong: it must have at least 1 item'),
    ('"local:four"', '"remote:four"', ":9: models.\"gpt-4.1\".targets: 'remote:four' names no provider"),
    ("1970-01-02", '"yesterday"', ':11: models."gpt-4.1".created: "yesterday" is wrong: it must be a valid date'),
    ("= 3 }", "= -3 }", ":14: tiers.free.requests_per_minute: -3 is wrong: it must be greater than or equal to 0"),
    ("pro = {}", "", ":13: tiers: the tier 'pro' is missing; add [tiers.pro]"),
    ("pro = {}", "pro = {}\ngold = {}", ":16: tiers.gold: is no tier; those are enterprise, free, pro"),
    (
        '"local:four"',
        '{ provider = "local", wieght = 2 }',
        ':9: models."gpt-4.1".targets.0.wieght: is not a field here (is weight meant?); the fields are provider,',
    ),
    ('"local:four"', '{ provider = "local", weight = 0 }', ':9: models."gpt-4.1".targets.0.weight: 0 is wrong'),
    ("created = 1970-01-02", 'capabilities = ["vison"]', ":11: models.\"gpt-4.1\".capabilities.0: must be 'stream',"),
    ("created = 1970-01-02", 'fallbacks = ["gpt-4.1"]', ':11: models."gpt-4.1".fallbacks: a name cannot fall back'),
    (
        "created = 1970-01-02",
        'fallbacks = ["no"]',
        ":11: models.\"gpt-4.1\".fallbacks: there is no model or alias 'no'",
    ),
    ("created = 1970-01-02", 'strategy = "best"', ":11: models.\"gpt-4.1\".strategy: must be 'order'"),
    ("created = 1970-01-02", 'strategy = "complexity"', ':11: models."gpt-4.1".strategy: a model cannot choose'),
    ("created = 1970-01-02", "quality = 101", ':11: models."gpt-4.1".quality: 101 is wrong'),
    ("[tiers]", '[aliases.a]\nmodels = ["no"]\n[tiers]', ":14: aliases.a.models: there is no model 'no'"),
    ("[tiers]", '[aliases."gpt-4.1"]\nmodels = ["gpt-4.1"]\n[tiers]', ':13: aliases."gpt-4.1": is the name of a model'),
    ("[tiers]", "[aliases.a]\nmodels = []\n[tiers]", ":14: aliases.a.models: a list is wrong: it must have at least 1"),
    ("created = 1970-01-02", "degraded_answer = 3", ':11: models."gpt-4.1".degraded_answer: 3 is wrong'),
    ("[tiers]", "[resilience]\ntries = 0\n[tiers]", ":14: resilience.tries: 0 is wrong"),
    ('kind = "chat"', "kind = chat", ":8: Invalid value. The file must be valid TOML"),
    ("stand_in = true", "stand_in = true\nstand_in = true", ":6: Cannot overwrite a value."),
    (
        "[tiers]",
        "[tires]",
        ":13: tires: is not a field here (is tiers meant?); the fields are providers, models, aliases,",
    ),
    (
        "[models",
        '[providers.two]\ndialect = "openai"\nbase_url = "https://two.example"\nstand_in = true\n[models',
        ":10: providers.two.stand_in: 'local' stands in already",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "complaint"), MISTAKES, ids=str)
def test_a_mistake_is_told_with_line_field_and_remedy(right: str, wrong: str, complaint: str, tmp_path: Path) -> None:
    """An editor can jump to it, and a person knows what to do."""
    assert right in SMALL
    with pytest.raises(SourceError) as failure:
        compiled(SMALL.replace(right, wrong, 1), tmp_path)
    assert f"{tmp_path / 'catalog.toml'}{complaint}" in str(failure.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start five times to find five."""
    with pytest.raises(SourceError) as failure:
        compiled(SMALL.replace("= 3 }", "= -3 }").replace('"chat"', '"x"').replace('"openai"', '"x"'), tmp_path)
    assert len(str(failure.value).splitlines()) == 3


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Missing, or not text."""
    with pytest.raises(SourceError, match="No such file"):
        compile_catalog(tmp_path / "none.toml")
    (tmp_path / "catalog.toml").write_bytes("[tiers]".encode("utf-16"))
    with pytest.raises(SourceError, match="not UTF-8"):
        compile_catalog(tmp_path / "catalog.toml")


def test_lines_of_fields() -> None:
    """Headers, dotted and quoted keys; the nearest known field stands for what is not found."""
    lines = Lines('a = 1\n[b."c.d"]\n"e f" = 2\ng.h = 3\n# i = 4\n  \'j\' = 5\n[[k]]\nl = 6\n')
    assert lines.of(("a",)) == 1
    assert lines.of(("b", "c.d")) == 2
    assert lines.of(("b", "c.d", "e f")) == 3
    assert lines.of(("b", "c.d", "g", "h")) == 4
    assert lines.of(("b", "c.d", "j")) == 6
    assert lines.of(("k", "l", "deeper")) == 8
    assert lines.of(("b", "c.d", "i")) == 2
    assert lines.of(("nowhere",)) == 1
    assert Lines("\n[model.x]\n[[model.y]]\n").of(("model",)) == 2


IDENTITY = """
[providers.local.identity]
workload_identity_provider = "projects/1/locations/global/workloadIdentityPools/aws/providers/nexus"
service_account = "caller@project.iam.gserviceaccount.com"
"""


def test_an_identity_at_google_is_compiled(tmp_path: Path) -> None:
    """With its audience, or without."""
    for more, audience in (("", ""), ('audience = "https://x.run.app"\n', "https://x.run.app")):
        identity = decode(compiled(SMALL + IDENTITY + more, tmp_path)).providers["local"].identity
        assert identity is not None
        assert identity.workload_identity_provider.endswith("/aws/providers/nexus")
        assert (identity.service_account, identity.audience) == ("caller@project.iam.gserviceaccount.com", audience)


@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ("projects/1/", "projects/one/", 19, "identity.workload_identity_provider: "),
        ("service_account =", "account =", 18, "identity.service_account: is missing; add it"),
        ("service_account =", "account =", 20, "the fields are workload_identity_provider, service_account, audience"),
        ("caller@project.iam", "caller@x/../y.iam", 20, "identity.service_account: "),
        ("stand_in = true", 'secret = "KEY"', 18, "identity: takes the place of the secret; leave one of the two out"),
        ('dialect = "openai"', 'dialect = "gemini"', 18, "identity: is for services of dialect 'openai'"),
    ],
)
def test_a_mistake_in_an_identity_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, complaint: str
) -> None:
    """As any other."""
    with pytest.raises(SourceError) as caught:
        compiled((SMALL + IDENTITY).replace(old, new), tmp_path)
    assert [told for told in str(caught.value).splitlines() if f"catalog.toml:{line}: " in told and complaint in told]
