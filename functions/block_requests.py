"""What administrators may ask of blocks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from functions.requests import Label, Strict

LONGEST = 366 * 86_400  # seconds


class NewBlock(Strict):
    """Shut out a key, a user or, by address or CIDR, a network for a time."""

    kind: Literal["key", "user", "ip"]
    id: Label
    seconds: Annotated[int, Field(ge=1, le=LONGEST)]
    reason: Label | None = None
