"""Virtual time passes at once, in order, and whoever can never wake is told so."""

from __future__ import annotations

import asyncio

import pytest

from nodrop.sim import loop as virtual
from nodrop.sim.loop import START, Deadlock, Livelock, VirtualClock, run_virtual

_WEEK_S = 7 * 86_400


async def _sleep_long() -> float:
    await asyncio.sleep(_WEEK_S)
    return asyncio.get_running_loop().time()


def test_a_week_passes_at_once() -> None:
    assert run_virtual(_sleep_long()) == pytest.approx(_WEEK_S, abs=1)


def test_timers_fire_in_order() -> None:
    async def scene() -> list[int]:
        order: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(10 - number)
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(one(number))
        return order

    assert run_virtual(scene()) == [4, 3, 2, 1, 0]


def test_who_waits_for_nobody_is_a_deadlock() -> None:
    async def scene() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(scene())


def test_who_never_lets_time_pass_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "_MOST_TURNS", 1_000)

    async def scene() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run_virtual(scene())


def test_a_wait_shorter_than_the_clock_can_tell_ends() -> None:
    async def scene() -> bool:
        await asyncio.sleep(14.7)
        loop = asyncio.get_running_loop()
        due_s = loop.time() + 1e-16
        while loop.time() <= due_s:
            await asyncio.sleep(due_s - loop.time())
        return True

    assert run_virtual(scene())


def test_tasks_are_cancelled_in_the_order_they_were_made() -> None:
    async def scene() -> list[int]:
        ended: list[int] = []

        async def one(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(number)

        async def fail() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(one(number))
                await asyncio.sleep(1)
                raise ValueError

        with pytest.raises(ExceptionGroup):
            await fail()
        return ended

    assert run_virtual(scene()) == list(range(20))


def test_the_wall_clock_follows_and_can_be_set() -> None:
    async def scene() -> tuple[float, float]:
        clock = VirtualClock()
        await asyncio.sleep(5)
        before = (clock.now() - START).total_seconds()
        clock.jump(-60)
        return before, (clock.now() - START).total_seconds()

    before_s, after_s = run_virtual(scene())
    assert before_s == pytest.approx(5, abs=0.01)
    assert after_s == pytest.approx(-55, abs=0.01)
