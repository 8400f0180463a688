"""What is open ends with the right to it: watches, followed logs, streams into pods.

A right is looked at when a request begins. One that lasts may outlive it: the user is removed, a
binding goes, a token ends. So it is looked at again every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nodrop.model.errors import ApiError

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 5.0


@contextmanager
def revocable(transport: asyncio.Transport | None, check: Callable[[], None]) -> Iterator[None]:
    """Close the connection as soon as ``check`` raises ApiError; that cancels its handler.

    The client asks again then, and is told by the answer.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        try:
            check()
        except ApiError as error:
            log.info("a connection is closed, whose user may not go on: %s", error)
            if transport is not None:
                transport.abort()
        else:
            timer = loop.call_later(_LOOK_EVERY_S, look)

    timer = loop.call_later(_LOOK_EVERY_S, look)
    try:
        yield
    finally:
        timer.cancel()
