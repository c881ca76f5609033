"""Prices that people write become whole nano-dollars, or a complaint that names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdk.catalog import compile_catalog, read
from shared.compiler.prices import compile_prices
from shared.compiler.source import SourceError
from shared.core.catalog import decode
from shared.core.pricing import Price, Rates, find

SHIPPED = Path("shared/data/prices.toml")
HEAD = '[p]\nsource = "https://x.invalid"\ndate = 2026-01-02\n[p.models]\n'


def test_every_shipped_model_has_a_price_at_each_of_its_targets() -> None:
    """Whoever adds a model to the catalog is reminded of its price."""
    catalog = decode(compile_catalog(Path("shared/data/catalog.toml")))
    unpriced = [
        target
        for model in catalog.models.values()
        for target in model.targets
        if find(catalog.prices, target.provider, target.model) is None
    ]
    assert unpriced == []
    assert find(catalog.prices, "openai", "gpt-4o") == Price(Rates(2_500_000_000, 1_250_000_000, 10_000_000_000))


def test_dollars_become_nano_dollars_exactly(tmp_path: Path) -> None:
    """The ninth decimal counts, and what binary fractions cannot say is not rounded."""
    path = tmp_path / "prices.toml"
    path.write_text(HEAD + "a = { input = 0.000000001, output = 0.3, per_image = 0.1 }\n")
    assert compile_prices(read(path)) == {"p": {"a": Price(Rates(1, 1, 300_000_000), 0, 100_000_000)}}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("a = { input = -1 }", "greater than or equal to 0"),
        ("a = { input = 0.0000000001 }", "9 decimal places"),
        ("a = { output = 1 }", "input: is missing; add it"),
        (
            "a = { input = 1, inptu = 2 }",
            r"inptu: is not a field here \(is input meant\?\); the fields are input,",
        ),
        ("a = { input = nan }", "finite"),
        ("a = { input = 1, long_from = 3 }", "needs all of"),
        ("a = { input = 2, long_from = 3, long_input = 1, long_output = 1 }", "nothing bounds"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    """The fifth line of this file is wrong, and the message says how."""
    path = tmp_path / "prices.toml"
    path.write_text(HEAD + line + "\n")
    with pytest.raises(SourceError, match=rf"prices\.toml:5: p\.models\.a.*{complaint}"):
        compile_prices(read(path))


def test_a_table_in_the_wrong_place_is_told(tmp_path: Path) -> None:
    """With what belongs there, and the line where it begins."""
    path = tmp_path / "prices.toml"
    path.write_text(HEAD + '[q."gpt-5"]\ninput = 1\n')
    with pytest.raises(SourceError) as told:
        compile_prices(read(path))
    assert f"{path}:5: q.models: is missing; add it" in str(told.value)
    assert f"{path}:5: q.gpt-5: is not a field here; the fields are source, date, models" in str(told.value)
    path.write_text(HEAD + "[q\n")
    with pytest.raises(SourceError, match=r"prices\.toml:5: .*The file must be valid TOML"):
        compile_prices(read(path))


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """Missing, or no TOML: the error of the catalog, which the command shows."""
    with pytest.raises(SourceError, match="cannot be read"):
        compile_catalog(Path("shared/data/catalog.toml"), tmp_path / "none.toml")
