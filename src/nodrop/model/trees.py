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
