"""From tokens to text as it comes: no half of a character, nothing that a stop string may still swallow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Decode = Callable[[list[int]], str]

_BROKEN: Final = "\ufffd"
_LONGEST: Final = 4  # bytes of a character, and so most tokens of one


class Text:
    """Turns the tokens of one answer into pieces of text."""

    def __init__(self, decode: Decode, stops: Sequence[str]) -> None:
        self._decode = decode
        self._stops = stops
        self._ids: list[int] = []
        self._before = 0  # the token from which on is decoded: some tokens look different at the start of a text
        self._told = 0  # the tokens whose text has been given
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Take the next token; returns what may be shown. A stop string is left out, and sets `stopped`."""
        self._ids.append(token)
        known = self._decode(self._ids[self._before : self._told])
        whole = self._decode(self._ids[self._before :])
        if whole.endswith(_BROKEN) and len(self._ids) - self._told < _LONGEST:
            return ""
        self._before, self._told = self._told, len(self._ids)
        return self._shown(whole[len(known) :])

    def rest(self) -> str:
        """Give what was held back: nothing comes any more."""
        if self.stopped:
            return ""
        known = self._decode(self._ids[self._before : self._told])
        return self._shown(self._decode(self._ids[self._before :])[len(known) :]) + self._held

    def _shown(self, piece: str) -> str:
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped = True
            self._held = ""
            return text[: min(places)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Count the characters at the end of `text` with which `stop` may begin."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
