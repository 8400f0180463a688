"""Quantities as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from nodrop.model.quantity import is_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", "0.5"),
        ("1.5", "1.5"),
        (2, "2"),
        (0.5, "0.5"),
        ("64Mi", "67108864"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("1e3", "1000"),
        ("1E", "1000000000000000000"),
        (".5", "0.5"),
        ("-1", "-1"),
    ],
)
def test_quantities(text: str | int | float, number: str) -> None:
    assert is_quantity(text)
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "x", "1 Mi", "1mb", "1KI", True, None])
def test_what_is_none(text: object) -> None:
    assert not is_quantity(text)
    with pytest.raises(ValueError, match="no quantity"):
        parse_quantity(str(text))
