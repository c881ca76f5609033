"""How likely each token was, as chat completions tell it, brought into shape: SDKs want every member of it."""

from __future__ import annotations

from typing import Any


def tokens(found: object) -> list[dict[str, Any]]:
    """Return what `logprobs` of a choice tell of each token of its text, each with `top_logprobs`."""
    return [
        {**_token(one), "top_logprobs": [_token(top) for top in _objects(one, "top_logprobs")]}
        for one in _objects(found, "content")
    ]


def _objects(found: object, name: str) -> list[dict[str, Any]]:
    """Return the objects in a member that should be a list of them."""
    inner = found.get(name) if isinstance(found, dict) else None
    return [one for one in inner if isinstance(one, dict)] if isinstance(inner, list) else []


def _token(found: dict[str, Any]) -> dict[str, Any]:
    token, chance, octets = found.get("token"), found.get("logprob"), found.get("bytes")
    return {
        "token": token if isinstance(token, str) else "",
        "bytes": octets if isinstance(octets, list) else [],
        "logprob": chance if isinstance(chance, int | float) else 0.0,
    }
