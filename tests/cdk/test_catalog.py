"""The catalog that people write becomes what the hot path reads, or a complaint that can be acted on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdk.catalog import TIERS, CatalogError, compile_catalog
from cdk.toml_lines import Lines
from shared.core.catalog import Tier, decode
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
    chat = candidates("gpt-4o", "chat", catalog, {"simulated", "gpu_service"})
    assert [one.provider.name for one in chat] == ["simulated"]
    vectors = candidates("all-MiniLM-L6-v2", "embedding", catalog, {"simulated", "gpu_service"})
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


MISTAKES: list[tuple[str, str, str]] = [
    # what is replaced, by what, the complaint after the file's name
    ('"openai"', '"klingon"', ":3: providers.local.dialect: must be 'openai', not \"klingon\""),
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
    ('kind = "chat"', 'kind = "chatty"', ":8: models.\"gpt-4.1\".kind: must be 'chat' or 'embedding'"),
    ('kind = "chat"\n', "", ':7: models."gpt-4.1".kind: is missing; add it'),
    ('["local:four", "local"]', "[]", ':9: models."gpt-4.1".targets: a list is wrong: it must have at least 1 item'),
    ('"local:four"', '"remote:four"', ":9: models.\"gpt-4.1\".targets: 'remote:four' names no provider"),
    ("1970-01-02", '"yesterday"', ':11: models."gpt-4.1".created: "yesterday" is wrong: it must be a valid date'),
    ("= 3 }", "= -3 }", ":14: tiers.free.requests_per_minute: -3 is wrong: it must be greater than or equal to 0"),
    ("pro = {}", "", ":13: tiers: the tier 'pro' is missing; add [tiers.pro]"),
    ("pro = {}", "pro = {}\ngold = {}", ":16: tiers.gold: is no tier; those are enterprise, free, pro"),
    ('kind = "chat"', "kind = chat", ":8: Invalid value. The file must be valid TOML"),
    ("stand_in = true", "stand_in = true\nstand_in = true", ":6: Cannot overwrite a value."),
    ("[tiers]", "[tires]", ":13: tires: is not a field here; the fields are providers, models, tiers"),
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
    with pytest.raises(CatalogError) as failure:
        compiled(SMALL.replace(right, wrong, 1), tmp_path)
    assert f"{tmp_path / 'catalog.toml'}{complaint}" in str(failure.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start five times to find five."""
    with pytest.raises(CatalogError) as failure:
        compiled(SMALL.replace("= 3 }", "= -3 }").replace('"chat"', '"x"').replace('"openai"', '"x"'), tmp_path)
    assert len(str(failure.value).splitlines()) == 3


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Missing, or not text."""
    with pytest.raises(CatalogError, match="No such file"):
        compile_catalog(tmp_path / "none.toml")
    (tmp_path / "catalog.toml").write_bytes("[tiers]".encode("utf-16"))
    with pytest.raises(CatalogError, match="not UTF-8"):
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
