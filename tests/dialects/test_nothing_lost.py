"""Whatever a client asks for, in whichever language, of whichever provider: it is sent on, or refused by its name.

What may be left out is listed in `features/left_out.py`, with the reason; nothing else is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.catalog import Provider, Target
from shared.core.errors import BadRequest
from shared.providers.registry import adapter_for
from tests.dialects.features.every import SPOKEN
from tests.dialects.features.left_out import LEFT_OUT
from tests.providers.wires.stories import WIRES
from tests.providers.wires.wire import MOMENT, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.dialects.features.every import Spoken
    from tests.dialects.features.feature import Feature

PROVIDERS = {
    "openai": Provider("openai", "openai", "http://127.0.0.1:9/v1"),
    **{wire.dialect: Provider(wire.dialect, wire.dialect, wire.base_url) for wire in WIRES},
}
JUDGES = {wire.dialect: wire for wire in WIRES}
PAIRS = [(name, provider) for name in SPOKEN for provider in PROVIDERS]
ALONE = [
    (name, feature, provider)
    for name, spoken in SPOKEN.items()
    for feature in spoken.features
    for provider in PROVIDERS
]
HELLO = {"role": "user", "content": "mark-hello"}


def asked(spoken: Spoken, features: Sequence[Feature]) -> dict[str, Any]:
    """Put a request together."""
    found = dict(spoken.base)
    for feature in features:
        found |= feature.fields
    if spoken.conversation:
        turns = [turn for feature in features for turn in feature.said]
        found[spoken.conversation] = [HELLO, *turns, *([HELLO] if turns and not begun(features) else [])]
    return found


def begun(features: Sequence[Feature]) -> bool:
    """Tell whether the client has begun the answer itself."""
    return bool(features[-1].said) and "mark-begun" in json.dumps(features[-1].said)


def values(found: Any) -> Iterator[object]:
    """Yield every value and every name in a document."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield name
            yield from values(value)
    elif isinstance(found, list):
        for value in found:
            yield from values(value)
    elif isinstance(found, str) and found[:1] == "{":
        yield from values(json.loads(found))
    else:
        yield found


def sent(spoken: Spoken, request: dict[str, Any], provider: str) -> list[object] | str:
    """Return all that the provider gets, or the field that is to blame, as the client calls it.

    The vendor's own types look at what is translated.
    """
    try:
        parsed: Any = spoken.dialect.parse(json.dumps(request).encode())
        native = (parsed.native or ("",))[0] == provider
        if parsed.native_only and not native:
            return str(parsed.native_only)  # as routing says
        target = Target(provider, "m-1", max_output=8000)
        made = adapter_for(provider, "chat")(parsed, target, PROVIDERS[provider], MOMENT)
        judge = JUDGES.get(provider)
        leaving = made.request(judge.secret if judge else SECRET)
        return list(values(judge.judge(leaving) if judge and not native else json.loads(leaving.body)))
    except BadRequest as error:
        return str(json.loads(spoken.dialect.envelope(error))["error"]["param"])


def held(found: list[object], feature: Feature) -> list[object]:
    """Return the marks that are lost."""
    texts = "\n".join(value for value in found if isinstance(value, str))

    def there(value: object) -> bool:
        return (
            value in texts if isinstance(value, str) else any(type(one) is not bool and one == value for one in found)
        )

    return [mark for mark in feature.marks if not any(map(there, mark))]


def judged(name: str, features: Sequence[str], provider: str) -> None:
    """Hold what becomes of a request with these features to what was asked."""
    spoken = SPOKEN[name]
    chosen = [spoken.features[feature] for feature in features]
    request = asked(spoken, chosen)
    found = sent(spoken, request, provider)
    if isinstance(found, str):
        assert found.partition("[")[0].partition(".")[0] in request, found
        return
    for feature in chosen:
        assert not held(found, feature), (provider, features)


@pytest.mark.parametrize(("name", "feature", "provider"), ALONE, ids=["-".join(one) for one in ALONE])
def test_a_feature_is_sent_on_or_refused(name: str, feature: str, provider: str) -> None:
    """Each alone."""
    judged(name, [feature], provider)


@pytest.mark.parametrize(("name", "provider"), PAIRS, ids=["-".join(one) for one in PAIRS])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_features_do_not_displace_one_another(name: str, provider: str, data: st.DataObject) -> None:
    """Any of them together, as far as they do not say two things of one member."""
    known = SPOKEN[name].features
    drawn = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=6))
    taken: set[str] = set()
    chosen = []
    for feature in drawn:
        if not taken & known[feature].fields.keys():
            taken |= known[feature].fields.keys()
            chosen.append(feature)
    judged(name, chosen, provider)


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_may_be_left_out_is_no_reason_to_refuse(what: str) -> None:
    """All that stands beside it is sent."""
    language, feature, providers, _ = LEFT_OUT[what]
    for provider in providers:
        found = sent(SPOKEN[language], asked(SPOKEN[language], [feature]), provider)
        assert not isinstance(found, str), (provider, found)
        assert not held(found, feature)
