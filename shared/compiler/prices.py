"""Compiles `prices.toml`, which people write in dollars per million tokens, into whole nano-dollars; never a float."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.compiler.remedies import remedy
from shared.compiler.source import Source, SourceError
from shared.compiler.toml_lines import Lines, dotted, tables
from shared.core.pricing import NANO, Price, Prices, Rates

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9, allow_inf_nan=False)]
_LONG = ("long_from", "long_input", "long_output")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Price(_Entry):
    input: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    cache_write_long: Usd | None = None
    output: Usd = Decimal(0)
    per_request: Usd = Decimal(0)
    per_image: Usd = Decimal(0)
    long_from: Annotated[int, Field(gt=0, strict=True)] | None = None
    long_input: Usd | None = None
    long_cached_input: Usd | None = None
    long_cache_write: Usd | None = None
    long_cache_write_long: Usd | None = None
    long_output: Usd | None = None
    added_input: Annotated[int, Field(ge=0, strict=True)] = 0

    @model_validator(mode="after")
    def _together(self) -> _Price:
        given = [name for name in _LONG if getattr(self, name) is not None]
        if given and len(given) < len(_LONG):
            raise ValueError(f"has {' and '.join(given)}, and so needs all of {', '.join(_LONG)}")
        if (self.long_input or self.input) < self.input or (self.long_output or self.output) < self.output:
            raise ValueError("charges less for a long prompt than for a short one, so nothing bounds its cost")
        return self

    def price(self) -> Price:
        """Return it as the hot path reads it."""
        return Price(
            rates=_rates(self.input, self.cached_input, self.output, self.cache_write, self.cache_write_long),
            per_request=_nano(self.per_request),
            per_image=_nano(self.per_image),
            long_from=self.long_from or 0,
            long=self._long(),
            added=self.added_input,
        )

    def _long(self) -> Rates | None:
        if self.long_input is None:
            return None
        return _rates(
            self.long_input,
            self.long_cached_input,
            self.long_output or Decimal(0),
            self.long_cache_write,
            self.long_cache_write_long,
        )


class _Provider(_Entry):
    source: Annotated[str, Field(pattern=r"^https://\S+$")]
    date: date
    models: dict[Annotated[str, Field(pattern=r"^(\*|[\w.:/@+-]{1,128})$")], _Price]


class _File(BaseModel):
    providers: dict[str, _Provider]


def compile_prices(source: Source) -> Prices:
    """Return the price of each model by provider.

    Raises:
        SourceError: it is no TOML, or something in it is wrong.
    """
    try:
        parsed = _File.model_validate({"providers": tables(source, Decimal)})
    except ValidationError as error:
        raise SourceError("\n".join(_told(source.name, Lines(source.text), error))) from error
    return {
        name: {model: entry.price() for model, entry in provider.models.items()}
        for name, provider in parsed.providers.items()
    }


def _told(name: str, lines: Lines, error: ValidationError) -> list[str]:
    told = []
    for details in error.errors():
        field = tuple(str(part) for part in details["loc"][1:] if part != "[key]")
        told.append(f"{name}:{lines.of(field)}: {dotted(field)}: {remedy(details, _fields(field))}")
    return told


def _fields(field: tuple[str, ...]) -> list[str]:
    """Return the fields of the entry that the unknown `field` stands in."""
    return list((_Price if "models" in field else _Provider).model_fields)


def _rates(
    given: Decimal, cached: Decimal | None, output: Decimal, write: Decimal | None, write_long: Decimal | None
) -> Rates:
    return Rates(
        _nano(given),
        _nano(given if cached is None else cached),
        _nano(output),
        None if write is None else _nano(write),
        None if write_long is None else _nano(write_long),
    )


def _nano(usd: Decimal) -> int:
    return int(usd * NANO)
