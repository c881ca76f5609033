"""How many tokens an exchange took. Providers send this late, wrongly or never; money hangs on it all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

CEILING = 1_000_000_000  # tokens; whoever claims more in one exchange is not believed
_BYTES_PER_TOKEN = 4  # a usual ratio for English text; an estimate only


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one exchange.

    `cached` is the part of `prompt` that the provider read from its own cache, `cache_write` the part that it wrote
    into it, and `cache_write_long` what of that it keeps for longer than usual, which costs more. `reasoning` is the
    part of `completion` that was thought and not said. `searches` is as how many requests the provider charges it: of
    a ranking each hundred documents may count as one. `estimated` is true where the provider gave no number that can
    be believed.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write: int = 0
    cache_write_long: int = 0
    searches: int = 1

    @property
    def total(self) -> int:
        """Prompt and completion."""
        return self.prompt + self.completion


def total(usages: Iterable[Usage]) -> Usage:
    """Add up the tokens of several exchanges; an estimate among them makes an estimate of the sum."""
    found = list(usages)
    return Usage(
        prompt=sum(usage.prompt for usage in found),
        completion=sum(usage.completion for usage in found),
        cached=sum(usage.cached for usage in found),
        reasoning=sum(usage.reasoning for usage in found),
        estimated=any(usage.estimated for usage in found),
        cache_write=sum(usage.cache_write for usage in found),
        cache_write_long=sum(usage.cache_write_long for usage in found),
    )


def from_openai(found: object) -> Usage | None:
    """Read OpenAI's `usage` object; None if it is missing or absurd (negative, huge, not a number).

    An explicit zero is believed. Embeddings have no `completion_tokens`; what `total_tokens` says then decides.
    """
    if not isinstance(found, dict):
        return None
    prompt = count(found.get("prompt_tokens"))
    completion = count(found.get("completion_tokens", _remainder(found)))
    if prompt is None or completion is None:
        return None
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=min(prompt, _detail(found, "prompt_tokens_details", "cached_tokens")),
        reasoning=min(completion, _detail(found, "completion_tokens_details", "reasoning_tokens")),
    )


def to_openai(usage: Usage, found: object = None) -> dict[str, Any]:
    """Render `usage` as OpenAI does, keeping what else the provider's own object `found` said in the right shape."""
    kept = {name: value for name, value in found.items() if _keeps(name, value)} if isinstance(found, dict) else {}
    if usage.cached or usage.cache_write:
        kept.setdefault(
            "prompt_tokens_details", {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write}
        )
    if usage.reasoning:
        kept.setdefault("completion_tokens_details", {"reasoning_tokens": usage.reasoning})
    return kept | {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
    }


def size(text: str) -> int:
    """Return the bytes of a text in UTF-8, as `estimate` takes them; half a pair of surrogates counts as well."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def estimate(size: int) -> int:
    """Guess the tokens in `size` bytes of text, rounded up."""
    return -(-size // _BYTES_PER_TOKEN)


def count(value: object) -> int | None:
    """Return what a provider sent as a number of tokens, None if it can be none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124, NaN
        return None
    return int(value) if 0 <= value <= CEILING and value == int(value) else None


def _keeps(name: str, value: object) -> bool:
    return isinstance(value, dict) if name.endswith("_details") else True


def _remainder(found: dict[str, Any]) -> int | None:
    total, prompt = count(found.get("total_tokens")), count(found.get("prompt_tokens"))
    return None if total is None or prompt is None else total - prompt


def _detail(found: dict[str, Any], group: str, name: str) -> int:
    details = found.get(group)
    return (count(details.get(name)) or 0) if isinstance(details, dict) else 0
