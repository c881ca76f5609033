"""What administrators may ask of users, teams and organizations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from functions.requests import EMAIL, ORGANIZATION, Budget, Id, Label, Limits, ModelName, Strict
from shared.core.principals import OnStoreLoss, Role, Tier

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256

Email = Annotated[str, StringConstraints(max_length=254, pattern=EMAIL)]
Password = Annotated[str, StringConstraints(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)]
Models = Annotated[list[ModelName], Field(max_length=100)]
OrganizationId = Annotated[str, StringConstraints(pattern=ORGANIZATION)]


class Edit(Strict):
    """What is to be different: what is absent stays, and null takes away what may be absent."""

    def given(self) -> dict[str, Any]:
        """Return what was sent."""
        return self.model_dump(exclude_unset=True)


class NewTeam(Strict):
    """A team; limits and budget are of all its members together."""

    id: Id
    name: Label
    limits: Limits = Limits()
    budget: Budget = Budget()


class TeamEdit(Edit):
    """Limits and budget have routes of their own."""

    name: Label = ""


class NewUser(Strict):
    """A user; limits and budget are of all the user's keys and tokens together. A password is for logging in."""

    id: Id
    name: Label
    email: Email | None = None
    role: Role = "developer"
    tier: Tier = "free"
    team: Id | None = None
    models: Models = Field(default_factory=list)
    password: Password | None = None
    limits: Limits = Limits()
    budget: Budget = Budget()


class UserEdit(Edit):
    """Limits and budget have routes of their own."""

    name: Label = ""
    email: Email | None = None
    role: Role = "developer"
    tier: Tier = "free"
    team: Id | None = None
    models: Models = Field(default_factory=list)
    password: Password | None = None
    disabled: bool = False


class NewOrganization(Strict):
    """A tenant: nothing of it is seen from another one. It begins with one administrator's key."""

    id: OrganizationId
    name: Label


class OrganizationEdit(Edit):
    """Limits and budget have routes of their own.

    With `serve` requests are answered while the store of limits and budgets is away, and booked afterwards: until it
    is back no limit, budget, block or revocation of the last minute holds.
    """

    name: Label = ""
    on_store_loss: OnStoreLoss = "refuse"
