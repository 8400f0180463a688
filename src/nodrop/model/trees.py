"""Copies of decoded JSON: cheaper than copy.deepcopy, because JSON has neither cycles nor sharing.

Only what copies or compares whole JSON values may live here.
"""

from __future__ import annotations

from typing import Any


def clone(value: Any) -> Any:
    """A deep copy of decoded JSON."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def clone_without_nulls(value: Any) -> Any:
    """A deep copy without the null fields of objects, which Kubernetes reads as absent."""
    if isinstance(value, dict):
        return {key: clone_without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [clone_without_nulls(item) for item in value]
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; unlike Python's ``==``, ``true`` is not ``1``."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
