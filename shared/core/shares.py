"""What a request took of each model: one text in the stream, the log and the ledger, with a line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NUMBERS = 5  # before the name


class Share(NamedTuple):
    """What one model cost, nano-dollars, whether it was asked (1 or 0), and its tokens.

    In a correction all but the tokens is what is added to the first charge, and may be below zero.
    """

    cost: int
    requests: int
    prompt: int
    completion: int
    cached: int
    model: str

    @property
    def is_nothing(self) -> bool:
        """Whether no sum changes by it."""
        return not any(self[:_NUMBERS])


def written(shares: Iterable[Share]) -> str:
    """Return the text, a line for each."""
    return "\n".join(" ".join(map(str, share)) for share in shares)


def read(text: str) -> tuple[Share, ...]:
    """Return what `written` has written.

    Raises:
        ValueError: it is no such text.
    """
    return tuple(_share(line) for line in text.split("\n") if line)


def _share(line: str) -> Share:
    *numbers, model = line.split(" ", _NUMBERS)
    cost, requests, prompt, completion, cached = map(int, numbers)
    return Share(cost, requests, prompt, completion, cached, model)


def corrected(shares: Iterable[Share], before: Mapping[str, Share]) -> tuple[Share, ...]:
    """Return what corrects charges made `before` (by model) to `shares`."""
    wanted = {share.model: share for share in shares}
    nothing = Share(0, 0, 0, 0, 0, "")
    return tuple(
        now._replace(cost=now.cost - then.cost, requests=now.requests - then.requests, model=model)
        for model in dict.fromkeys([*wanted, *before])
        for now, then in [(wanted.get(model, nothing), before.get(model, nothing))]
    )
