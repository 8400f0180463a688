"""A deadline that moves while something waits for it (S15, S20)."""

from __future__ import annotations

import asyncio

import pytest

from nodrop.agent.deadline import Deadline


async def test_work_in_time_returns() -> None:
    assert await Deadline.in_s(30).cut(asyncio.sleep(0, "done")) == "done"


async def test_s20_work_is_cut_at_the_deadline() -> None:
    """S20: whatever waits is ended when the grace period is over."""
    with pytest.raises(TimeoutError):
        await Deadline.in_s(0.01).cut(asyncio.Event().wait())


async def test_a_deadline_moved_nearer_cuts_what_waits_already() -> None:
    deadline = Deadline.in_s(3600)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_ended(deadline))
        await asyncio.sleep(0)
        deadline.move_to(0)
    assert waiting.result() == "cut"


async def test_s15_the_least_time_is_given_however_late_it_is() -> None:
    """S15: between SIGTERM and SIGKILL there is a floor, also when the deadline moves nearer."""
    deadline = Deadline.in_s(0)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(TimeoutError):
        await deadline.cut(asyncio.Event().wait(), at_least_s=0.2)
    assert loop.time() - began_s >= 0.19


async def test_work_that_ends_first_leaves_nothing_behind() -> None:
    deadline = Deadline.in_s(3600)
    await deadline.cut(asyncio.sleep(0))
    deadline.move_to(0)
    await asyncio.sleep(0.01)  # a timer left behind would cancel this


async def _ended(deadline: Deadline) -> str:
    try:
        await deadline.cut(asyncio.Event().wait())
    except TimeoutError:
        return "cut"
    return "done"
