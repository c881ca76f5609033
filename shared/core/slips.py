"""A field with a slip of the pen in its name, which servers that know nothing of it would pass over in silence.

Providers have fields of their own, so an unknown one goes along. But what is one letter off a long name that is known
is that one, mistyped: the answer would be another than was asked for, and with `max_token` a longer and dearer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_MOST: Final = 64  # unknown fields that are looked at; a person mistypes one, and more would take long
_LONG: Final = 8  # letters; shorter names have honest neighbours, such as `top_k` beside `top_p`


def refuse(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Let pass what has no such field; one whose right name is there as well is no slip.

    Raises:
        BadRequest: there is one; `param` names it.
    """
    strange = [name for name in given if name not in known]
    for name in strange if len(strange) <= _MOST else ():
        for meant in known:
            if len(meant) >= _LONG and meant not in given and given[name] is not None and _one_off(name, meant):
                raise BadRequest(f"There is no field '{ascii(name)[1:-1]}'. Did you mean '{meant}'?", param=name)


def _one_off(name: str, meant: str) -> bool:
    """Tell whether they differ by one letter that is missing, added or wrong, or by two neighbours that are swapped."""
    if abs(len(name) - len(meant)) > 1:
        return False
    at = next((at for at, (one, other) in enumerate(zip(name, meant, strict=False)) if one != other), len(meant))
    rests = name[at + 1 :], meant[at + 1 :]
    swapped = name[at : at + 2] == meant[at : at + 2][::-1] and name[at + 2 :] == meant[at + 2 :]
    return rests[0] == rests[1] or name[at:] == rests[1] or rests[0] == meant[at:] or swapped
