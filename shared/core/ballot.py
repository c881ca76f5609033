"""How several answers become one by vote: which of them say the same, who leads, and whether that can still change."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_FENCE = re.compile(r"\A```[\w-]*\s*\n(.*?)\n?```\Z", re.DOTALL)
_EDGES = " \t\r\n.,;:!?\"'`*_~()[]{}<>#=-\u2018\u2019\u201c\u201d\u2026"
_LONGEST_NUMBER = 40  # digits that are still read as one


class Standing(NamedTuple):
    """Where a vote stands: the number of the leading voter (-1: nobody has voted), and for how many it speaks."""

    leader: int
    votes: int
    decided: bool


def normalized(answer: str) -> str:
    """Return what two answers share that say the same: `"Paris."` and `paris`, `42` and `42.0`, JSON in any layout.

    Case, white space, surrounding punctuation and Markdown do not count, nor does a code fence around it all.
    """
    text = unicodedata.normalize("NFKC", answer).strip()
    fenced = _FENCE.match(text)
    text = fenced[1].strip() if fenced else text
    if text[:1] in {"{", "["}:
        try:
            return json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # it only looks like JSON
    plain = " ".join(text.strip(_EDGES).casefold().split())
    signed = f"-{plain}" if text.startswith("-") else plain
    return _number(signed) or plain


def standing(answers: Mapping[int, str], pending: int) -> Standing:
    """Count the votes of `answers` (voter's number -> text), normalized, while `pending` more may come.

    Of answers with as many votes the one that the lowest number gave leads. `decided`: no vote that is still to come
    can change the leading answer.
    """
    votes = {number: normalized(text) for number, text in answers.items()}
    if not votes:
        return Standing(-1, 0, decided=not pending)
    counts = Counter(votes.values())
    first = {vote: min(number for number, other in votes.items() if other == vote) for vote in counts}
    ranked = sorted(counts, key=lambda vote: (-counts[vote], first[vote]))
    best = ranked[0]
    second = counts[ranked[1]] if len(ranked) > 1 else 0
    return Standing(first[best], counts[best], decided=not pending or counts[best] > second + pending)


def _number(text: str) -> str:
    digits = text.replace(",", "").replace("_", "").replace(" ", "").rstrip("%")
    if not digits or len(digits) > _LONGEST_NUMBER or not (digits[0].isdigit() or digits[0] in "+-."):
        return ""
    try:
        found = Decimal(digits)
    except InvalidOperation:
        return ""
    sign = "%" if text.rstrip().endswith("%") else ""
    return f"{found.normalize():f}{sign}" if found.is_finite() and abs(found.adjusted()) < _LONGEST_NUMBER else ""
