"""Looks up the hosts of ExternalName Services, again and again: their addresses change.

HAProxy could do so itself only for servers of its configuration file, and asks name servers
without the machine's own list of hosts. The system's resolver is asked here, as every program of
the machine asks it; while no engine runs the last addresses stay in use.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from nodrop.proxy.external import Answer

log = logging.getLogger(__name__)

#: The resolver tells no lifetime; the machine's own cache, where it has one, knows it.
_EVERY_S = 10.0
_AT_ONCE = 8
_MOST_ADDRESSES = 16
#: There is no such name: its last addresses mean nothing any more.
_GONE = (socket.EAI_NONAME, socket.EAI_NODATA)


class Unresolved(Exception):
    """Why a name has no addresses. ``gone``: there is no such name; else it could not be asked."""

    def __init__(self, why: str, *, gone: bool = False) -> None:
        super().__init__(why)
        self.gone = gone


#: Raises Unresolved.
Lookup = Callable[[str], Awaitable[Answer]]


async def no_lookup(host: str) -> Answer:
    """A Lookup for worlds without names."""
    raise Unresolved("names are not looked up here", gone=True)


async def system_lookup(host: str) -> Answer:
    """The system's answer: IPv4 addresses, or IPv6 ones where there are no others.

    Each in a thread of its own that nobody waits for when the engine ends: a name server that
    does not answer holds it for half a minute.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | None, error: Unresolved | None) -> None:
        if done.cancelled():
            return
        if answer is not None:
            done.set_result(answer)
        elif error is not None:
            done.set_exception(error)

    def look() -> None:
        found: tuple[Answer | None, Unresolved | None]
        try:
            found = _ask(host), None
        except Unresolved as error:
            found = None, error
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *found)

    threading.Thread(target=look, name=f"lookup {host}", daemon=True).start()
    return await done


@dataclass(slots=True)
class Names:
    """``answers`` by host; ``changed`` is called when one is another than before."""

    lookup: Lookup
    changed: Callable[[], object]
    every_s: float = _EVERY_S
    answers: dict[str, Answer] = field(default_factory=dict)
    _wanted: frozenset[str] = frozenset()
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    def follow(self, hosts: Collection[str]) -> None:
        """Look these up from now on, and no others."""
        wanted = frozenset(hosts)
        if wanted != self._wanted:
            self._wanted = wanted
            self.answers = {host: one for host, one in self.answers.items() if host in wanted}
            self._more.set()

    async def settled(self, timeout_s: float) -> None:
        """Return once each was looked up, or after ``timeout_s``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._wanted - self.answers.keys():
                    self._answered.clear()
                    await self._answered.wait()

    async def run(self) -> None:
        """Until cancelled."""
        followed: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._more.clear()
                for host in sorted(self._wanted - followed.keys()):
                    followed[host] = group.create_task(self._follow(host), name=f"name {host}")
                for host in followed.keys() - self._wanted:
                    followed.pop(host).cancel()
                await self._more.wait()

    async def _follow(self, host: str) -> None:
        while True:
            async with self._room:
                answer = await self._look(host)
            if answer != self.answers.get(host):
                self.answers[host] = answer
                shown = ", ".join(answer.addresses) or "no address"
                log.info("%s: %s", host, f"{shown} ({answer.trouble})" if answer.trouble else shown)
                self._answered.set()
                self.changed()
            await asyncio.sleep(self.every_s)

    async def _look(self, host: str) -> Answer:
        try:
            return await self.lookup(host)
        except Unresolved as error:
            before = Answer() if error.gone else self.answers.get(host, Answer())
            return before._replace(trouble=str(error))


# Private


def _ask(host: str) -> Answer:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Unresolved(error.args[1].lower(), gone=error.errno in _GONE) from None
    except (OSError, UnicodeError) as error:
        raise Unresolved(str(error)) from None
    by_family = [
        sorted({str(at[0]) for family, *_, at in found if family is wanted})
        for wanted in (socket.AF_INET, socket.AF_INET6)
    ]
    usable = [[one for one in some if "%" not in one] for some in by_family]
    addresses = tuple((usable[0] or usable[1])[:_MOST_ADDRESSES])
    if not addresses:
        raise Unresolved("it has no address that can be used")
    return Answer(addresses, frozenset(filter(_is_own, addresses)))


def _is_own(address: str) -> bool:
    """Whether this machine has the address: only then can it be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
