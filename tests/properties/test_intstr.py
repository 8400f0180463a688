"""What holds for surge and unavailable whatever a manifest says."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from nodrop.model.intstr import resolve, resolve_fenceposts

PERCENTS = st.integers(0, 400)
VALUES = st.integers(0, 300) | PERCENTS.map(lambda percent: f"{percent}%")
REPLICAS = st.integers(0, 10_000)


@given(PERCENTS, REPLICAS)
def test_percentages_are_rounded_exactly(percent: int, replicas: int) -> None:
    exact = Fraction(percent, 100) * replicas
    assert resolve(f"{percent}%", replicas, "up") == math.ceil(exact)
    assert resolve(f"{percent}%", replicas, "down") == math.floor(exact)


@given(VALUES, VALUES, REPLICAS.filter(bool))
def test_a_rolling_update_can_always_move(
    surge: int | str, unavailable: int | str, replicas: int
) -> None:
    """S3, S4, S5: some pod may be added or missing, and no more are missing than there are."""
    posts = resolve_fenceposts(surge, unavailable, replicas)
    assert posts.surge + posts.unavailable >= 1
    assert 0 <= posts.unavailable <= replicas
    assert posts.surge >= 0


@given(VALUES, VALUES)
def test_with_no_replicas_none_may_be_missing(surge: int | str, unavailable: int | str) -> None:
    assert resolve_fenceposts(surge, unavailable, 0).unavailable == 0
