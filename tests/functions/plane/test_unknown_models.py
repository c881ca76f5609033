"""Whoever mistypes a model's name is told the nearest one that they may use, wherever models are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.plane.languages import HELLO, LANGUAGES, VECTORS
from tests.functions.plane.rig import item

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig

BODIES: dict[str, dict[str, Any]] = {
    **{language.path: {"model": "GPT4o", **language.fields} for language in (*LANGUAGES.values(), VECTORS)},
    "/v1/messages/count_tokens": {"model": "GPT4o", "messages": HELLO},
    "/api/ai/ensemble": {"models": ["gpt-4o", "GPT4o"], "query": "Hello"},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("own", ["", "far,both"])
def test_the_nearest_name_is_told_to_whom_it_may_concern(rig: Rig, path: str, own: str) -> None:
    """In the one envelope that both SDKs read; a key for other models hears nothing of this one."""
    rig.aws.item = item(models=list(filter(None, own.split(","))))
    client = rig.call("POST", path, BODIES[path], identity={"models": own})
    error = client.json["error"]
    assert (client.status, client.json["type"], error["type"]) == (404, "error", "not_found_error")
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert ("Did you mean 'gpt-4o'?" in error["message"]) is (not own)
    assert rig.upstream.requests == []
