"""Long-lived connections of any protocol: how one ended, and what its client reports."""

from __future__ import annotations

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nodrop.rehearse.http1 import Response
from nodrop.rehearse.record import Outcome, Record

_OUR_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


class Ended(Exception):
    """A connection is over, or never came to be.

    ``clean``: the other side said good-bye in the words of its protocol; what it had not taken by
    then may be sent to another. ``outcome`` is what that means for a message that was under way.
    ``response``: what was answered instead of opening the connection.
    """

    def __init__(
        self,
        outcome: Outcome,
        *,
        clean: bool = False,
        code: int = 0,
        status: int = 0,
        why: str = "",
        response: Response | None = None,
    ) -> None:
        super().__init__(why or str(outcome))
        self.outcome = outcome
        self.clean = clean
        self.code = code
        self.status = status
        self.response = response


@dataclass(frozen=True, slots=True)
class End:
    """The end of one long-lived connection, as its client saw it. ``at`` is ``loop.time()``."""

    kind: str
    at: float
    version: str
    pod: str
    outcome: Outcome
    clean: bool
    under_way: bool  # a message was waiting for its answer

    @property
    def cut(self) -> bool:
        return not self.clean


class StreamLoad(ABC):
    """Clients that stay connected: runs ``_clients`` until ``stop``.

    ``sink`` gets one Record for whatever was to come, ``on_end`` the ends of connections.
    """

    def __init__(
        self,
        *,
        sink: Callable[[Record], None],
        on_end: Callable[[End], None] = lambda _end: None,
    ) -> None:
        self._sink = sink
        self._on_end = on_end
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin nothing more; ``run`` returns once everything under way has ended."""
        self._stopping.set()

    async def run(self, duration_s: float | None = None) -> None:
        """Go on until ``stop`` or for so long, then end all connections in order."""
        timer = None
        if duration_s is not None:
            timer = asyncio.get_running_loop().call_later(duration_s, self.stop)
        try:
            await self._clients()
        finally:
            if timer is not None:
                timer.cancel()

    @abstractmethod
    async def _clients(self) -> None: ...


def outcome_of_status(status: int) -> Outcome:
    """What an HTTP status other than the one hoped for means."""
    if 500 <= status < 600:
        return Outcome.STATUS_5XX
    return Outcome.STATUS_4XX if 400 <= status < 500 else Outcome.STATUS_OTHER


def outcome_of_error(error: OSError) -> Outcome:
    """Why connecting failed."""
    if isinstance(error, ConnectionRefusedError):
        return Outcome.REFUSED
    return Outcome.UNSENT if error.errno in _OUR_LIMITS else Outcome.UNCONNECTED


@asynccontextmanager
async def connecting(timeout_s: float) -> AsyncIterator[None]:
    """Turn what goes wrong while connecting into Ended."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise Ended(Outcome.TIMEOUT) from None
    except OSError as error:
        raise Ended(outcome_of_error(error)) from error
