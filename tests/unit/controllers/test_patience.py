"""A queue with patience: changes that come together are looked at once."""

import asyncio

from nodrop.controllers.loop import WorkQueue
from nodrop.model.kinds import SERVICE
from nodrop.model.meta import ObjectKey

KEY = ObjectKey(SERVICE, "default", "web")


async def test_what_is_added_while_a_key_waits_is_looked_at_with_it() -> None:
    queue = WorkQueue(patience_s=0.01)
    queue.add(KEY)
    getting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add(KEY)
    assert await getting == KEY
    queue.done(KEY)
    again = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0.05)
    assert not again.done()
    again.cancel()


async def test_what_is_added_while_a_key_is_worked_on_is_looked_at_again() -> None:
    queue = WorkQueue(patience_s=0.01)
    queue.add(KEY)
    assert await queue.get() == KEY
    queue.add(KEY)
    queue.done(KEY)
    assert await queue.get() == KEY


async def test_without_patience_a_key_is_handed_out_in_the_same_turn() -> None:
    queue = WorkQueue()
    queue.add(KEY)
    getting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert getting.done()
