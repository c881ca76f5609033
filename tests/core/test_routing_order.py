"""Who is left over when a request needs something, and in which order they are asked."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from shared.core import chat, needs
from shared.core.catalog import Alias, Catalog, Member, Model, Provider, Serving, Target
from shared.core.errors import BadRequest, ContextTooLong, Unsupported
from shared.core.pricing import NANO, Price, Rates
from shared.core.routing import Group, arranged, candidates, fitting

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.catalog import Capability

PROVIDERS = {name: Provider(name, "openai", "https://x.invalid") for name in ("a", "b", "c")}


def model(name: str, *targets: str, **more: Any) -> Model:
    """A chat model with targets such as `a`, or `a*3` for a weight."""
    found = [target.partition("*") for target in targets]
    return Model(
        name, "chat", tuple(Target(provider, name, int(weight or 1)) for provider, _, weight in found), "me", **more
    )


def catalog(*models: Model, aliases: dict[str, Alias] | None = None, **prices: int) -> Catalog:
    """A catalog of these; `a=5` is what a million tokens cost at `a`, in dollars."""
    listed = {name: {"*": Price(Rates(price * NANO, price * NANO, price * NANO))} for name, price in prices.items()}
    return Catalog("1", PROVIDERS, {one.name: one for one in models}, {}, listed, aliases or {})


def asked(size: int = 0, **fields: Any) -> needs.Needs:
    """What a request with these fields needs; its body is padded to `size` bytes."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
    return needs.of(chat.parse(json.dumps(body).encode().ljust(size)))


def order(known: Catalog, name: str = "m", wanted: needs.Needs | None = None, **more: Any) -> list[str]:
    """The ids of the targets of `name`, in the order in which they would be asked."""
    chance: Callable[[], float] = more.pop("chance", random.Random(1).random)
    wanted = wanted or asked()
    groups = fitting(candidates(name, "chat", known, PROVIDERS, **more), wanted)
    return [one.target.id for one in arranged(groups, wanted, known, chance)]


def test_an_alias_stands_for_the_targets_of_its_models() -> None:
    """In their order; the weights of both multiply."""
    alias = Alias("fast", "chat", (Member("m", 2), Member("n")), "me")
    known = catalog(model("m", "a*3", "b"), model("n", "c"), aliases={"fast": alias})
    [(_, found, _)] = candidates("fast", "chat", known, PROVIDERS)
    assert [(one.target.id, one.weight, one.model.name) for one in found] == [
        ("a:m", 6, "m"),
        ("b:m", 2, "m"),
        ("c:n", 1, "n"),
    ]


def test_fallbacks_follow_and_nobody_comes_twice() -> None:
    """Each as a group of its own, in the order of its own strategy; fallbacks of fallbacks are not followed."""
    first = model("m", "a", serving=Serving(fallbacks=("n", "all")))
    second = model("n", "b", "c", serving=Serving("cheapest", ("m",)))
    alias = Alias("all", "chat", (Member("m"), Member("n")), "me")
    known = catalog(first, second, aliases={"all": alias}, b=9, c=1)
    assert order(known) == ["a:m", "c:n", "b:n"]


def test_a_fallback_that_the_key_may_not_use_is_none() -> None:
    """Whoever limits a key to models means it."""
    known = catalog(model("m", "a", serving=Serving(fallbacks=("n",))), model("n", "b"))
    assert order(known, may_use=lambda name: name == "m") == ["a:m"]


def test_the_cheapest_comes_first_and_the_unpriced_last() -> None:
    """By what this request would cost there."""
    known = catalog(model("m", "a", "b", "c", serving=Serving("cheapest")), b=7, c=3)
    assert order(known) == ["c:m", "b:m", "a:m"]


def test_weights_are_shares() -> None:
    """Of 4000 requests three quarters begin where the weight is 3; all others follow."""
    known = catalog(model("m", "a*3", "b", serving=Serving("weighted")))
    chance = random.Random(7).random
    found = Counter(tuple(order(known, chance=chance)) for _ in range(4000))
    assert set(found) == {("a:m", "b:m"), ("b:m", "a:m")}
    assert 2880 <= found["a:m", "b:m"] <= 3120  # six standard deviations are 164


TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]
FILE = [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:,x"}}]}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
ASKS: list[tuple[Capability, str, dict[str, Any]]] = [
    ("stream", "stream", {"stream": True}),
    ("tools", "tools", {"tools": [TOOL]}),
    ("tools", "functions", {"functions": [{"name": "f"}]}),
    ("vision", "messages", {"messages": IMAGE}),
    ("files", "messages", {"messages": FILE}),
    ("json_schema", "response_format", {"response_format": FORMAT}),
    ("reasoning", "reasoning_effort", {"reasoning_effort": "low"}),
    ("logprobs", "logprobs", {"logprobs": True, "top_logprobs": 2}),
    ("choices", "n", {"n": 2}),
    ("penalties", "presence_penalty", {"presence_penalty": -0.5}),
    ("penalties", "frequency_penalty", {"frequency_penalty": 1}),
    ("audio", "modalities", {"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "x"}}),
]


@pytest.mark.parametrize(("capability", "field", "fields"), ASKS, ids=[f"{what} {field}" for what, field, _ in ASKS])
def test_what_a_request_needs_its_model_must_offer(capability: Capability, field: str, fields: dict[str, Any]) -> None:
    """Those that cannot are passed over; if nobody can, a 400 names the field. Unknown capabilities pass."""
    able = model("n", "b", capabilities=(capability,))
    unable = model("m", "a", capabilities=(), serving=Serving(fallbacks=("n",)))
    assert order(catalog(unable, able), wanted=asked(**fields)) == ["b:n"]
    assert order(catalog(model("m", "a")), wanted=asked(**fields)) == ["a:m"]
    with pytest.raises(Unsupported) as refusal:
        order(catalog(model("m", "a", capabilities=())), wanted=asked(**fields))
    assert (refusal.value.status, refusal.value.param) == (400, field)


def test_a_plain_request_needs_nothing() -> None:
    """What is set to its usual value asks for nothing."""
    usual: dict[str, Any] = {"logprobs": False, "n": 1, "presence_penalty": 0, "frequency_penalty": 0.0}
    plain = asked(stream=False, tools=[], reasoning_effort="none", response_format={"type": "text"}, **usual)
    assert plain.needs == ()


def test_what_a_provider_is_to_ignore_nobody_needs() -> None:
    """It is left out there, not refused."""
    found = catalog(model("m", "a", capabilities=()))
    ignoring = replace(found.providers["a"], ignores=("logprobs",))
    found = replace(found, providers={**found.providers, "a": ignoring})
    assert order(found, wanted=asked(logprobs=True)) == ["a:m"]
    with pytest.raises(Unsupported):
        order(found, wanted=asked(logprobs=True, n=2))


def test_a_prompt_goes_where_it_fits() -> None:
    """The estimate decides among contexts; only a prompt that can fit nowhere is refused."""
    small = model("m", "a", context=1000, serving=Serving(fallbacks=("n",)))
    large = model("n", "b", context=100_000)
    known = catalog(small, large)
    assert order(known, wanted=asked()) == ["a:m", "b:n"]
    assert order(known, wanted=asked(8_000)) == ["b:n"]
    assert order(known, wanted=asked(1_600_000)) == ["b:n"]  # too long by the estimate, perhaps not in truth
    with pytest.raises(ContextTooLong) as refusal:
        order(known, wanted=asked(4_000_000))
    assert (refusal.value.code, refusal.value.param) == ("context_length_exceeded", "messages")


def test_pictures_are_no_text() -> None:
    """A picture of a megabyte within the request takes a thousand tokens or so, and no quarter of a million."""
    url = "data:image/png;base64," + "A" * 1_000_000
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": url}}]
    wanted = asked(messages=[{"role": "user", "content": parts}])
    assert 1000 <= wanted.tokens() < 1100
    assert order(catalog(model("m", "a", context=2000)), wanted=wanted) == ["a:m"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_an_answer_longer_than_the_model_gives_is_refused(field: str) -> None:
    """By the field that asked for it; a model with longer answers steps in where there is one."""
    short = model("m", "a", max_output=100, serving=Serving(fallbacks=("n",)))
    assert order(catalog(short, model("n", "b")), wanted=asked(**{field: 101})) == ["b:n"]
    assert order(catalog(model("m", "a", max_output=100)), wanted=asked(**{field: 100})) == ["a:m"]
    with pytest.raises(ContextTooLong) as refusal:
        order(catalog(model("m", "a", max_output=100)), wanted=asked(**{field: 101}))
    assert refusal.value.param == field


def test_kinds_do_not_mix() -> None:
    """An alias has the kind of its models."""
    known = catalog(model("m", "a"), aliases={"x": Alias("x", "chat", (Member("m"),), "me")})
    with pytest.raises(BadRequest, match="kind chat"):
        candidates("x", "embedding", known, PROVIDERS)


def test_strategies_work_within_a_group() -> None:
    """However cheap a fallback is, the model's own targets come first."""
    groups = [Group("cheapest", candidates("m", "chat", catalog(model("m", "a")), PROVIDERS)[0].candidates)]
    groups += candidates("n", "chat", catalog(model("n", "b")), PROVIDERS)
    found = arranged(groups, asked(), catalog(a=9, b=1), random.Random(1).random)
    assert [one.target.id for one in found] == ["a:m", "b:n"]
