"""What administrators may ask of keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from functions.requests import Budget, Label, Limits, ModelName, Strict
from shared.core.principals import Role, Tier

DEFAULT_DAYS = 90
DEFAULT_OVERLAP = 86_400  # seconds
LONGEST_OVERLAP = 30 * 86_400  # seconds

Models = Annotated[list[ModelName], Field(max_length=100)]
Days = Annotated[int, Field(ge=1, le=3650)]


class NewKey(Strict):
    """A key to be made. `models` empty is all of them; JSON has no tuples, so a list it is."""

    name: Label
    role: Role = "developer"
    tier: Tier = "free"
    team: Label | None = None
    user: Label | None = None
    models: Models = Field(default_factory=list)
    expires_days: Days = DEFAULT_DAYS
    limits: Limits = Limits()
    budget: Budget = Budget()


class KeyEdit(Strict):
    """What is to be different of a key: what is absent stays, and null takes team or user away.

    Limits and budget have routes of their own.
    """

    name: Label = ""
    role: Role = "developer"
    tier: Tier = "free"
    team: Label | None = None
    user: Label | None = None
    models: Models = Field(default_factory=list)
    expires_days: Days = DEFAULT_DAYS

    def given(self) -> dict[str, Any]:
        """Return what was sent."""
        return self.model_dump(exclude_unset=True)


class Rotation(Strict):
    """A new secret for a key; the one before it opens the key for so many seconds more."""

    overlap_seconds: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP)] = DEFAULT_OVERLAP
