"""The grammar of what administrators send: strict models, and one sentence for whatever is wrong with a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from functions.usd import Usd
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"  # no control characters: labels go into logs and tables
_MODEL = r"^[^,\x00-\x20\x7f]+$"
_ID = r"^[a-z0-9][a-z0-9._-]{0,63}$"
ORGANIZATION = r"^[a-z0-9]{1,20}$"
EMAIL = r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$"
_FORMS = {  # what each asks for
    _PLAIN: "it holds a control character or a line break",
    _MODEL: "a model's name holds no comma, space or control character",
    _ID: "it has 1 to 64 small letters, digits, dots, dashes and underscores, and begins with a letter or a digit",
    ORGANIZATION: "it has 1 to 20 small letters and digits",
    EMAIL: "an address looks like ada@example.com",
}
_LONGEST_PARAM = 100  # characters of a field name that somebody invented

Label = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_MODEL)]
Id = Annotated[str, StringConstraints(pattern=_ID)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Strict(BaseModel):
    """No unknown fields, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Limits(Strict):
    """Limits of one scope; an absent one is the tier's for a key, and none for anything else."""

    requests_per_minute: Count | None = None
    requests_per_hour: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None

    def given(self) -> dict[str, int]:
        """Return those that there are."""
        return self.model_dump(exclude_none=True)


class Budget(Strict):
    """Most that may be spent in each calendar day and month (UTC), and altogether; an absent one is none."""

    daily_usd: Usd | None = None
    monthly_usd: Usd | None = None
    total_usd: Usd | None = None

    def given(self) -> dict[str, int]:
        """Return those that there are, in nano-dollars, by the names they are stored under."""
        amounts = {"daily_nano": self.daily_usd, "monthly_nano": self.monthly_usd, "total_nano": self.total_usd}
        return {name: amount for name, amount in amounts.items() if amount is not None}


def told(errors: Sequence[Mapping[str, Any]]) -> BadRequest:
    """Say what was wrong first: which field, why, and what to do about it. No value is repeated."""
    first = errors[0]
    place = [str(part) for part in first["loc"] if part not in {"body", "query", "path"}]
    field = ".".join(place)[:_LONGEST_PARAM]
    return BadRequest(_advice(first, field), param=field or None)


def _advice(error: Mapping[str, Any], field: str) -> str:
    match error["type"]:
        case "missing":
            return f"The field '{field}' is missing. Add it." if field else "Send a JSON object."
        case "extra_forbidden":
            return f"The field '{field}' is not known, or may not be set. Remove it."
        case "string_pattern_mismatch":
            return f"The field '{field}' is not usable: {_FORMS[error['ctx']['pattern']]}."
        case _:
            reason = str(error["msg"]).removeprefix("Value error, ")
            return f"The field '{field}' is not usable: {reason[:1].lower()}{reason[1:]}."
