"""A disk that is full for a while does not end the engine when old Events are to go."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import cast

import pytest

from nodrop.clock import SystemClock
from nodrop.model.errors import ApiError
from nodrop.registry.verbs import Registry
from nodrop.wiring import parts


class FullRegistry:
    def __init__(self) -> None:
        self.asked = 0
        self.worked = asyncio.Event()

    def expire_events(self, _now: datetime) -> int:
        self.asked += 1
        if self.asked < 3:
            raise ApiError(500, "InternalError", "database or disk is full")
        self.worked.set()
        return 0


async def test_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_EXPIRE_EVENTS_EVERY_S", 0)
    registry = FullRegistry()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(
            parts._expire_events(cast(Registry, registry), SystemClock()), name="events"
        )
        await registry.worked.wait()
        task.cancel()
    assert registry.asked >= 3
