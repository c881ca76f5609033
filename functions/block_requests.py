"""What administrators may ask of blocks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from functions.requests import Label, Strict

LONGEST = 366 * 86_400  # seconds


class NewBlock(Strict):
    """Shut out a key or a user for a time. Addresses are the web ACL's to block."""

    kind: Literal["key", "user"]
    id: Label
    seconds: Annotated[int, Field(ge=1, le=LONGEST)]
    reason: Label | None = None
