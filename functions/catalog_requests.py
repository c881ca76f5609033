"""What administrators may ask of the catalog."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from functions.requests import Label, Strict

Text = Annotated[str, Field(min_length=1, max_length=1_000_000)]


class NewCatalog(Strict):
    """A `catalog.toml`, and a `prices.toml` if they change too; `name` is what complaints call the first."""

    catalog: Text
    prices: Text | None = None
    name: Label = "catalog.toml"


class Rollback(Strict):
    """Which catalog shall be live: absent or null for the one that was before."""

    to: Annotated[int, Field(ge=0, le=999_999)] | None = None
