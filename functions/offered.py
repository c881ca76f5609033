"""Which models and aliases administrators may name: those of the catalog that is live.

Keys and users keep a name that a later catalog lacks: it opens nothing until a catalog has it again, the other names
work on, and an edit may send it along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from functions.shelf import POINTER
from shared.core.errors import BadRequest
from shared.core.nearest import nearest
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from functions.visit import Visit

_HOW: Final = "List them with GET /v1/models or `nexus models`."
_SHOWN: Final = 100  # characters of a name that there is not


def names(visit: Visit) -> Collection[str]:
    """Return the names of the live catalog.

    Raises:
        StoreUnavailable: the Directory cannot be reached.
    """
    pointer = visit.control.registry.find(FIRST_ORG, POINTER) or {}
    return pointer.get("models", ()) if pointer.get("serves") else visit.control.models


def check(visit: Visit, given: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
    """Let pass `models` that there are, or that the record named `before`.

    Raises:
        BadRequest: one is neither; it names the field, the name and the nearest one.
        StoreUnavailable: the Directory cannot be reached.
    """
    kept = (before or {}).get("models", ())
    new = {name: number for number, name in enumerate(given.get("models") or ()) if name not in kept}
    there_are = names(visit) if new else ()
    for name, number in new.items():
        if name not in there_are:
            field, text = f"models.{number}", ascii(name[:_SHOWN]) + ("..." if len(name) > _SHOWN else "")
            told = f"The field '{field}' names {text}, and there is no such model or alias."
            raise BadRequest(f"{told} {hint(name, there_are)}", param=field)


def hint(name: str, there_are: Collection[str]) -> str:
    """Say what may have been meant by a name that there is not, and how to see all."""
    meant = nearest(name, there_are)
    return (f"Did you mean '{meant}'? " if meant else "") + _HOW
