"""The level that tasks wait for keeps what asyncio.Event promises."""

from __future__ import annotations

import asyncio

import pytest

from nodrop.agent.flag import Flag


async def test_who_waits_is_released_although_it_is_cleared_at_once() -> None:
    flag = Flag()
    waiting = [asyncio.ensure_future(flag.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    flag.set()
    flag.clear()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert not flag.is_set()


async def test_set_it_holds_nobody() -> None:
    flag = Flag()
    flag.set()
    flag.set()
    assert await flag.wait()


async def test_who_gives_up_takes_nobody_along() -> None:
    flag = Flag()
    one, other = asyncio.ensure_future(flag.wait()), asyncio.ensure_future(flag.wait())
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    flag.set()
    assert await other
