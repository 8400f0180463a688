"""What a measurement says: figures with a goal beside them, as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure should keep."""

    kind: Literal["at least", "at most"]
    bound: float

    def met_by(self, value: float) -> bool:
        return value >= self.bound if self.kind == "at least" else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.kind == 'at least' else '≤'} {self.bound:g}"


def at_least(bound: float) -> Goal:
    return Goal("at least", bound)


def at_most(bound: float) -> Goal:
    return Goal("at most", bound)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. ``note`` says what stands behind it."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is kept; None where there is no goal."""
        return self.goal.met_by(self.value) if self.goal else None

    def as_json(self, section: str) -> dict[str, Any]:
        return {
            "section": section,
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "goal": str(self.goal) if self.goal else None,
            "met": self.met,
            "note": self.note,
        }


def percentile(values: Iterable[float], percent: float) -> float:
    """Nearest rank: the smallest value that ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a percentile of nothing was asked for")
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of pairs measured one after the other.

    Whatever else the machine does changes slowly beside a pair, so it cancels out in the ratio.
    """
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def row_of(figure: Figure) -> tuple[str, str, str, str, str]:
    """The cells of the table: name, value, goal, whether it is met, note."""
    goal = f"{figure.goal} {figure.unit}".strip() if figure.goal else ""
    met = {True: "yes", False: "NO", None: ""}[figure.met]
    return figure.name, f"{_short(figure.value)} {figure.unit}".strip(), goal, met, figure.note


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
