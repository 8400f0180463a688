"""Options that are lengths of time take what kubectl's users write."""

from __future__ import annotations

import click
import pytest

from nodrop.cli.durations import duration


@pytest.mark.parametrize(
    ("written", "seconds"), [("30", 30.0), ("30s", 30.0), ("1m30s", 90.0), ("1h", 3600.0), (5, 5.0)]
)
def test_seconds_or_a_duration(written: str | float, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize("written", ["soon", "-5", "", "5 s"])
def test_anything_else_is_answered_with_what_would_be_right(written: str) -> None:
    with pytest.raises(click.BadParameter, match="write seconds, or 30s, 5m, 1h"):
        duration(written)
