"""Surge and unavailable as counts (S3, S4): semantics 1.2 with its worked examples."""

from __future__ import annotations

import pytest

from nodrop.model.intstr import is_percent, resolve, resolve_fenceposts


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 1, (1, 0)),
        ("25%", "25%", 3, (1, 0)),
        ("25%", "25%", 4, (1, 1)),
        ("25%", "25%", 10, (3, 2)),
        (3, 2, 10, (3, 2)),
        (1, 0, 1, (1, 0)),
        (0, 1, 3, (0, 1)),
        (0, "1%", 3, (0, 1)),
        ("0%", "50%", 1, (0, 1)),
        (0, 5, 3, (0, 3)),
        ("200%", 0, 3, (6, 0)),
        (0, 0, 0, (0, 0)),
        ("25%", "25%", 0, (0, 0)),
    ],
)
def test_fenceposts(
    surge: int | str, unavailable: int | str, replicas: int, expected: tuple[int, int]
) -> None:
    assert resolve_fenceposts(surge, unavailable, replicas) == expected


def test_ten_percent_of_ten_is_one_in_both_directions() -> None:
    assert resolve("10%", 10, "up") == resolve("10%", 10, "down") == 1


@pytest.mark.parametrize("text", ["", "x", "25", "-1%", "1.5%", "%", "25%\n"])
def test_what_is_no_percentage(text: str) -> None:
    assert not is_percent(text)
    with pytest.raises(ValueError, match="neither a whole number nor a percentage"):
        resolve(text, 10, "up")
