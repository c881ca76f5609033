"""Reads `catalog.toml` and `prices.toml` from this machine's disk and has them compiled."""

from __future__ import annotations

from pathlib import Path

from shared.compiler.catalog import compile_catalog as compiled
from shared.compiler.prices import compile_prices
from shared.compiler.source import Source, SourceError

PRICES = Path(__file__).resolve().parents[1] / "shared/data/prices.toml"


def compile_catalog(path: Path, prices: Path = PRICES) -> bytes:
    """Return the compiled catalog: JSON that `shared.core.catalog.decode` reads; the same files give the same bytes.

    Raises:
        SourceError: a file cannot be read, or something in it is wrong.
    """
    return compiled(read(path), compile_prices(read(prices)))


def read(path: Path) -> Source:
    """Return what a file says.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        return Source(str(path), path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Give the path of a TOML file.") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from error
