"""Compiles `catalog.toml`, which people write, into the one artifact that the hot path reads.

Everything that can be wrong is found here, before anything deploys, and told with file, line, field and remedy; the hot
path then trusts what it decodes.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cdk.prices import PricesError, compile_prices
from cdk.toml_lines import Lines, dotted
from shared.core import catalog
from shared.providers.registry import speaks

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from shared.core.pricing import Prices

TIERS = frozenset({"free", "pro", "enterprise"})
PRICES = Path(__file__).resolve().parents[1] / "shared/data/prices.toml"
_HOME = frozenset({"127.0.0.1", "localhost", "::1"})

Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Tokens = Annotated[int, Field(ge=0, le=100_000_000, strict=True)]
Limit = Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]


class CatalogError(Exception):
    """The catalog is wrong; the message has one line per mistake: `file:line: field: what is wrong and what to do`."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Provider(_Entry):
    dialect: Literal["openai"]
    base_url: str = ""
    base_url_env: Variable = ""
    secret: Variable = ""
    stand_in: Annotated[bool, Field(strict=True)] = False

    @field_validator("base_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        """Keys travel there: only over TLS, or not off this machine."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HOME):
            raise ValueError("must start with https:// (or http:// on 127.0.0.1)")
        if not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError("must be a plain address such as https://api.openai.com/v1")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _somewhere(self) -> _Provider:
        if not self.base_url and not self.base_url_env:
            raise ValueError("needs base_url, base_url_env, or both")
        return self


class _Model(_Entry):
    kind: catalog.Kind
    targets: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    owned_by: Annotated[str, Field(min_length=1)]
    created: Annotated[date, Field(strict=True)] | None = None
    context: Tokens = 0
    max_output: Tokens = 0


class _Tier(_Entry):
    requests_per_minute: Limit = 0
    requests_per_hour: Limit = 0
    tokens_per_minute: Limit = 0
    concurrency: Limit = 0


class _File(_Entry):
    providers: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")], _Provider]
    models: dict[Annotated[str, Field(pattern=r"^[\w.:/@+-]{1,128}$")], _Model]
    tiers: dict[str, _Tier]


def compile_catalog(path: Path, prices: Path = PRICES) -> bytes:
    """Return the compiled catalog: JSON that `shared.core.catalog.decode` reads; the same files give the same bytes.

    Raises:
        CatalogError: a file cannot be read, or something in it is wrong.
    """
    text = _read(path)
    lines = Lines(text)
    try:
        parsed = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(_syntax(path, text, str(error))) from error
    except ValidationError as error:
        raise CatalogError("\n".join(_told(path, lines, details) for details in error.errors())) from error
    if mistakes := _mistakes(parsed):
        raise CatalogError("\n".join(f"{path}:{lines.of(field)}: {dotted(field)}: {what}" for field, what in mistakes))
    try:
        return _compiled(parsed, compile_prices(prices))
    except PricesError as error:
        raise CatalogError(str(error)) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror}. Give the path of a catalog.toml.") from error
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from error


def _compiled(parsed: _File, prices: Prices) -> bytes:
    unversioned = catalog.Catalog(
        version="",
        providers={name: catalog.Provider(name=name, **entry.model_dump()) for name, entry in parsed.providers.items()},
        models={name: _model(name, entry) for name, entry in parsed.models.items()},
        tiers={name: catalog.Tier(**entry.model_dump()) for name, entry in parsed.tiers.items()},
        prices=prices,
    )
    version = hashlib.sha256(msgspec.json.encode(unversioned)).hexdigest()[:12]
    return msgspec.json.encode(msgspec.structs.replace(unversioned, version=version))


def _model(name: str, entry: _Model) -> catalog.Model:
    day = entry.created
    return catalog.Model(
        name=name,
        kind=entry.kind,
        targets=tuple(_target(name, target) for target in entry.targets),
        owned_by=entry.owned_by,
        created=int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) if day else 0,
        context=entry.context,
        max_output=entry.max_output,
    )


def _target(name: str, target: str) -> catalog.Target:
    provider, _, model = target.partition(":")
    return catalog.Target(provider=provider, model=model or name)


Mistake = tuple[tuple[str, ...], str]


def _mistakes(parsed: _File) -> list[Mistake]:
    """Find what no single entry can know to be wrong."""
    found = [mistake for name in parsed.models for mistake in _wrong_targets(name, parsed)]
    stand_ins = [name for name, provider in parsed.providers.items() if provider.stand_in]
    if len(stand_ins) > 1:
        found.append(
            (("providers", stand_ins[1], "stand_in"), f"'{stand_ins[0]}' stands in already; there is only one")
        )
    found += [
        (("tiers",), f"the tier '{name}' is missing; add [tiers.{name}]") for name in sorted(TIERS - set(parsed.tiers))
    ]
    found += [
        (("tiers", name), f"is no tier; those are {', '.join(sorted(TIERS))}")
        for name in parsed.tiers
        if name not in TIERS
    ]
    return found


def _wrong_targets(name: str, parsed: _File) -> list[Mistake]:
    entry = parsed.models[name]
    found: list[Mistake] = []
    for target in entry.targets:
        provider = parsed.providers.get(target.partition(":")[0])
        if provider is None:
            known = ", ".join(parsed.providers)
            what = f"'{target}' names no provider; the providers are {known}"
        elif not speaks(provider.dialect, entry.kind):
            what = f"'{target}' speaks {provider.dialect}, which has no {entry.kind} models"
        else:
            continue
        found.append((("models", name, "targets"), what))
    return found


def _syntax(path: Path, text: str, message: str) -> str:
    """Move the place that tomllib appends to its message to the front, where editors look for it."""
    what, _, place = message.partition(" (at ")
    number = re.search(r"line (\d+)", place)
    line = number[1] if number else len(text.splitlines())
    return f"{path}:{line}: {what}. The file must be valid TOML (https://toml.io)."


def _told(path: Path, lines: Lines, details: ErrorDetails) -> str:
    field = tuple(str(part) for part in details["loc"] if part != "[key]")
    return f"{path}:{lines.of(field)}: {dotted(field)}: {_remedy(field, details)}"


def _remedy(field: tuple[str, ...], details: ErrorDetails) -> str:
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    match kind:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            return f"is not a field here; the fields are {', '.join(_fields(field))}"
        case "literal_error":
            return f"must be {context['expected']}, not {_shown(given)}"
        case "string_pattern_mismatch":
            return f"{_shown(given)} does not match {context['pattern']}"
        case "value_error":
            return str(context["error"])
        case _:
            what = details["msg"].partition(" should ")[2] or details["msg"]
            return f"{_shown(given)} is wrong: it must {what}"


def _fields(field: tuple[str, ...]) -> list[str]:
    """Return the fields of the entry that the unknown `field` stands in."""
    entries: dict[str, type[BaseModel]] = {"providers": _Provider, "models": _Model, "tiers": _Tier}
    return list(entries.get(field[0], _File).model_fields) if len(field) > 1 else list(_File.model_fields)


def _shown(value: Any) -> str:  # noqa: ANN401, it comes from a file
    return msgspec.json.encode(value).decode() if isinstance(value, str | int | float) else f"a {type(value).__name__}"
