"""Who serves a model, and who must not."""

from __future__ import annotations

import msgspec
import pytest

from shared.core import chat, needs
from shared.core.catalog import Catalog, Model, Provider, Target, entry, listing
from shared.core.errors import BadRequest, UnknownModel, Unsupported, UpstreamUnavailable, headers
from shared.core.routing import Candidate, Group, candidates, fitting

OPENAI = Provider(name="openai", dialect="openai", base_url="https://api.openai.com/v1", secret="OPENAI_API_KEY")
AZURE = Provider(name="azure", dialect="openai", base_url="https://azure.example/v1", secret="AZURE_API_KEY")
GPU = Provider(name="gpu_service", dialect="openai", base_url="http://127.0.0.1:1/v1")
STAND_IN = Provider(name="simulated", dialect="openai", base_url="http://127.0.0.1:2/v1", stand_in=True)
GPT = Model(
    name="gpt-5",
    kind="chat",
    targets=(Target("openai", "gpt-5"), Target("azure", "five")),
    owned_by="openai",
    created=7,
)
MINILM = Model(name="MiniLM", kind="embedding", targets=(Target("gpu_service", "MiniLM"),), owned_by="sbert")
CATALOG = Catalog(
    version="1",
    providers={provider.name: provider for provider in (OPENAI, AZURE, GPU, STAND_IN)},
    models={model.name: model for model in (GPT, MINILM)},
    tiers={},
)
ALL = frozenset(CATALOG.providers)


def test_targets_come_in_the_catalogs_order() -> None:
    """Best first, each with its provider."""
    own = [Candidate(Target("openai", "gpt-5"), OPENAI, GPT), Candidate(Target("azure", "five"), AZURE, GPT)]
    assert candidates("gpt-5", "chat", CATALOG, ALL) == [Group("order", own)]


def test_a_provider_without_credentials_is_skipped() -> None:
    """And nobody stands in beside one that has them."""
    found = candidates("gpt-5", "chat", CATALOG, {"azure", "simulated"})
    assert found == [Group("order", [Candidate(Target("azure", "five"), AZURE, GPT)])]


def test_the_stand_in_serves_what_nobody_else_can() -> None:
    """Under the name the client asked for."""
    found = candidates("gpt-5", "chat", CATALOG, {"simulated"})
    assert found == [Group("order", [Candidate(Target("simulated", "gpt-5"), STAND_IN, GPT)])]


def test_nobody_stands_in_for_embeddings() -> None:
    """A made-up vector looks like any other: refusing is honest."""
    with pytest.raises(UpstreamUnavailable, match="gpu_service"):
        candidates("MiniLM", "embedding", CATALOG, {"simulated"})


def test_without_anybody_the_missing_credentials_are_named() -> None:
    """The owner reads which provider to configure, and where; SDKs do not try again what no try can change."""
    with pytest.raises(UpstreamUnavailable, match=r"openai or azure.* the providers' secret") as refused:
        candidates("gpt-5", "chat", CATALOG, set())
    assert headers(refused.value)["x-should-retry"] == "false"


def test_the_wrong_kind_is_the_callers_mistake() -> None:
    """Embedding models do not chat, nor chat models embed."""
    with pytest.raises(BadRequest) as refusal:
        candidates("MiniLM", "chat", CATALOG, ALL)
    assert refusal.value.param == "model"


@pytest.mark.parametrize(
    "name", ["", "gpt-4", "gpt-5\n", "../gpt-5", "x" * 10_000, "gpt\u20115", "gpt-5\ud83d"], ids=ascii
)
def test_an_unknown_model_is_a_404_on_one_short_line(name: str) -> None:
    """The name is quoted so that it can do no harm, in part."""
    with pytest.raises(UnknownModel) as refusal:
        candidates(name, "chat", CATALOG, ALL)
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (404, "model_not_found", "model")
    assert refusal.value.message.isascii()
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 600


def test_models_are_listed_for_both_sdks() -> None:
    """An integer `created` and owned_by for OpenAI's; a name, a date and the ends of the page for Anthropic's."""
    ends = {"first_id": "gpt-5", "last_id": "gpt-5", "has_more": False}
    assert listing([GPT]) == {"object": "list", "data": [entry(GPT)], **ends}
    assert listing([]) == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    openai = {"id": "gpt-5", "object": "model", "created": 7, "owned_by": "openai"}
    assert entry(GPT) == {**openai, "type": "model", "display_name": "gpt-5", "created_at": "1970-01-01T00:00:00Z"}


def test_what_only_one_dialect_can_say_goes_to_those_that_speak_it() -> None:
    """The others are left out; with nobody left the field is named."""
    claude = Provider(name="anthropic", dialect="anthropic", base_url="https://api.anthropic.com/v1")
    found = [Candidate(Target(provider.name, "m"), provider, GPT) for provider in (OPENAI, claude)]
    request = chat.parse(b'{"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}')
    assert fitting([Group("order", found)], needs.of(request)) == [Group("order", found)]
    special = msgspec.structs.replace(request, native=("anthropic", {}), native_only="tools")
    assert fitting([Group("order", found)], needs.of(special)) == [Group("order", found[1:])]
    for nobody in (special, msgspec.structs.replace(special, native=None)):
        with pytest.raises(Unsupported) as refused:
            fitting([Group("order", found[:1])], needs.of(nobody))
        assert refused.value.param == "tools"
