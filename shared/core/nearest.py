"""What somebody may have meant who wrote a name that there is not."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST: Final = 64  # characters that are compared: this takes their square


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the one of `known` that is most like `name`, whatever the case; "" if none is.

    Where none is, what stands behind the last slash counts alone: elsewhere a model is called `provider/model`.
    """
    by_folded = {one.casefold(): one for one in known}
    whole = name.casefold()
    for part in (whole, whole.rpartition("/")[2]):
        if found := get_close_matches(part[:_LONGEST], by_folded, n=1):
            return by_folded[found[0]]
    return ""


def no_field(name: str, fields: Iterable[str]) -> str:
    """Go on, behind the name of a field that there is not: which one may be meant, and which ones there are.

    Each may have a prefix before a colon that belongs to its name where it is written, as in `nexus:stage`.
    """
    known = {field.rpartition(":")[2]: field for field in fields}
    likely = nearest(name, known)
    meant = f" (is {known[likely]} meant?)" if likely else ""
    return f"is not a field here{meant}; the fields are {', '.join(known.values())}"
