"""Which answers cost tokens that nobody sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import needs
from shared.core.catalog import Model
from shared.core.chat import parse


@pytest.mark.parametrize(
    ("dialect", "fields", "expected"),
    [
        ("openai", {}, True),
        ("gemini", {}, True),
        ("openai", {"reasoning_effort": "none"}, False),
        ("anthropic", {}, False),
        ("bedrock", {}, False),
        ("anthropic", {"reasoning_effort": "low"}, True),
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, True),
        ("anthropic", {"thinking": {"type": "disabled"}}, False),
    ],
)
def test_hidden_thoughts(dialect: str, fields: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a parameter
    """OpenAI's and Gemini's models think unless told not to, Claude when told to; who cannot think never does."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    chat = parse(json.dumps(body).encode())
    able = Model("m", "chat", (), "us", capabilities=("stream", "reasoning"))
    unable = Model("m", "chat", (), "us", capabilities=("stream",))
    assert needs.thinks(chat, able, dialect) is expected
    assert needs.thinks(chat, unable, dialect) is False
