"""What holds for all tests: properties are judged by what is true, not by how fast a machine is.

A run tries the same examples each time, so that it judges the change and not its luck. Others are
tried by ``./dev test --hypothesis-profile explore tests``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nodrop", settings.get_profile("explore"), derandomize=True)
settings.load_profile("nodrop")

#: Long tests first: what is left at the end is short, and no worker waits for another.
_ORDER = ("system", "e2e", "sim", "integration", "properties", "contract", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by folder; within one they stay as they are."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        return _ORDER.index(folder) if folder in _ORDER else len(_ORDER)

    items.sort(key=place)
