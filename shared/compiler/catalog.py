"""Compiles `catalog.toml`, which people write, into the one artifact that the hot path reads.

Everything that can be wrong is found here, before anything is served by it, and told with file, line, field and remedy;
the hot path then trusts what it decodes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from pydantic import ValidationError

from shared.compiler import schema
from shared.compiler.mistakes import mistakes
from shared.compiler.remedies import remedy
from shared.compiler.source import Source, SourceError
from shared.compiler.toml_lines import Lines, dotted, tables
from shared.core import catalog

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from shared.core.pricing import Prices

_ENTRIES: dict[str, type[BaseModel]] = {
    "providers": schema.Provider,
    "models": schema.Model,
    "aliases": schema.Alias,
    "tiers": schema.Tier,
    "resilience": schema.Resilience,
}
_INNER: dict[str, type[BaseModel]] = {
    "identity": schema.Identity,
    "models": schema.Member,
    "storage": schema.Storage,
    "targets": schema.Target,
}


def compile_catalog(source: Source, prices: Prices) -> bytes:
    """Return the compiled catalog: JSON that `shared.core.catalog.decode` reads; the same input gives the same bytes.

    Raises:
        SourceError: something in it is wrong.
    """
    lines = Lines(source.text)
    try:
        parsed = schema.File.model_validate(tables(source))
    except ValidationError as error:
        raise SourceError("\n".join(_told(source.name, lines, details) for details in error.errors())) from error
    if found := mistakes(parsed):
        told = (f"{source.name}:{lines.of(field)}: {dotted(field)}: {what}" for field, what in found)
        raise SourceError("\n".join(told))
    return _compiled(parsed, prices)


def _compiled(parsed: schema.File, prices: Prices) -> bytes:
    models = {name: entry.compiled(name, parsed.providers) for name, entry in parsed.models.items()}
    unversioned = catalog.Catalog(
        version="",
        providers={name: entry.compiled(name) for name, entry in parsed.providers.items()},
        models=models,
        tiers={name: catalog.Tier(**entry.model_dump()) for name, entry in parsed.tiers.items()},
        prices=prices,
        aliases={
            name: entry.compiled(name, models[entry.models[0].model].kind) for name, entry in parsed.aliases.items()
        },
        resilience=parsed.resilience.compiled(),
    )
    version = hashlib.sha256(msgspec.json.encode(unversioned)).hexdigest()[:12]
    return msgspec.json.encode(msgspec.structs.replace(unversioned, version=version))


def _told(name: str, lines: Lines, details: ErrorDetails) -> str:
    field = tuple(str(part) for part in details["loc"] if part != "[key]")
    return f"{name}:{lines.of(field)}: {dotted(field)}: {remedy(details, _fields(field))}"


def _fields(field: tuple[str, ...]) -> list[str]:
    """Return the fields of the entry that the unknown `field` stands in."""
    inner = field[2:-1]  # of `models."gpt-4.1".targets.0.wieght`: ("targets", "0")
    entry = _INNER.get(inner[0], schema.File) if inner else _ENTRIES.get(field[0], schema.File)
    return list((entry if len(field) > 1 else schema.File).model_fields)
