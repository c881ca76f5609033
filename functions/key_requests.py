"""What administrators may ask for: strict models, so that a misspelt or invented field is refused and not ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.core.errors import BadRequest
from shared.core.principals import Role, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_DAYS = 90
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"  # no control characters: labels go into logs and tables
_LONGEST_PARAM = 100  # characters of a field name that somebody invented

Label = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^,\x00-\x20\x7f]+$")]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Strict(BaseModel):
    """No unknown fields, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewLimits(Strict):
    """Limits of one key; an absent one is the tier's."""

    requests_per_minute: Count | None = None
    requests_per_hour: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None

    def given(self) -> dict[str, int]:
        """Those that differ from the tier's."""
        return self.model_dump(exclude_none=True)


class NewKey(Strict):
    """A key to be made. `models` empty is all of them; JSON has no tuples, so a list it is."""

    name: Label
    role: Role = "developer"
    tier: Tier = "free"
    team: Label | None = None
    user: Label | None = None
    models: Annotated[list[ModelName], Field(max_length=100)] = []
    expires_days: Annotated[int, Field(ge=1, le=3650)] = DEFAULT_DAYS
    limits: NewLimits = NewLimits()


def told(errors: Sequence[Mapping[str, Any]]) -> BadRequest:
    """Say what was wrong first: which field, why, and what to do about it. No value is repeated."""
    first = errors[0]
    place = [str(part) for part in first["loc"] if part not in {"body", "query"}]
    field = ".".join(place)[:_LONGEST_PARAM]
    return BadRequest(_advice(first, place, field), param=field or None)


def _advice(error: Mapping[str, Any], place: list[str], field: str) -> str:
    match error["type"]:
        case "missing":
            return f"The field '{field}' is missing. Add it." if field else "Send a JSON object."
        case "extra_forbidden":
            known = ", ".join(NewLimits.model_fields if place[0] == "limits" else NewKey.model_fields)
            return f"The field '{field}' is not known. Remove it, or use one of: {known}."
        case "string_pattern_mismatch":
            return f"The field '{field}' is not usable: it holds a character that is not allowed."
        case _:
            reason = str(error["msg"])
            return f"The field '{field}' is not usable: {reason[:1].lower()}{reason[1:]}."
