"""Readers of Server-Sent Events that are numbered from 1 and resume where they were cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp

from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.stream import End, Ended, StreamLoad, outcome_of_error, outcome_of_status

_PAUSE_S = 0.2  # before the next try after one that failed


@dataclass(frozen=True, slots=True)
class Event:
    """One event; an id that is no number is 0."""

    id: int
    data: str


@dataclass(slots=True)
class EventReader:
    """Reads events from any split of a stream's lines (HTML standard, section 9.2)."""

    _id: int = 0
    _data: list[str] = field(default_factory=list)

    def feed(self, line: bytes) -> Event | None:
        """Take one line; an event when it is complete."""
        text = line.decode(errors="replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = int(value) if value.isdecimal() else 0
        elif name == "data":
            self._data.append(value)
        elif not text and self._data:
            event = Event(self._id, "\n".join(self._data))
            self._data = []
            return event
        return None


@dataclass(frozen=True, slots=True)
class EventSpec:
    """How many readers, and what they expect. ``silence_s``: no event for so long is a loss.

    ``is_right`` judges an event's data, given its number.
    """

    path: str = "/events"
    connections: int = 4
    silence_s: float = 10.0
    is_right: Callable[[int, str], bool] = lambda _number, _data: True
    kind: str = "SSE"
    version_header: str = "X-Version"
    pod_header: str = "X-Pod"


class EventLoad(StreamLoad):
    """Hands ``sink`` one Record an event, and ``on_end`` the end of every stream.

    A reader asks for what follows the last event it has (``Last-Event-ID``), so a stream that ends
    costs nothing; a number that is missing or comes twice is a loss, and so is a stream that can't
    be had. A stream that ends in the middle of an answer was cut.
    """

    def __init__(
        self,
        spec: EventSpec,
        target: Target,
        *,
        sink: Callable[[Record], None],
        on_end: Callable[[End], None] = lambda _end: None,
    ) -> None:
        super().__init__(sink=sink, on_end=on_end)
        self._spec = spec
        self._target = target

    async def _clients(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._spec.silence_s, sock_read=self._spec.silence_s
        )
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await self._read_all(session)

    async def _read_all(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(self._reader(session), name=f"events {number}")
                for number in range(self._spec.connections)
            ]
            await self._stopping.wait()
            for reader in readers:
                reader.cancel()

    async def _reader(self, session: aiohttp.ClientSession) -> None:
        """One client: a stream after another."""
        last = 0
        while True:
            stream = _Stream(self._spec, self._target, last, self._sink)
            end = await stream.read(session)
            if end is None:
                await asyncio.sleep(_PAUSE_S)
            else:
                self._on_end(end)
            last = stream.last


class _Stream:
    """One request, and the events that answer it."""

    def __init__(
        self, spec: EventSpec, target: Target, last: int, sink: Callable[[Record], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._spec, self._target, self._sink = spec, target, sink
        self.last = last
        self._asked = self._loop.time()
        self._version = self._pod = ""
        self._fresh = True

    async def read(self, session: aiohttp.ClientSession) -> End | None:
        """Read to the end of the stream; None when none was had."""
        url = f"http://{_bracketed(self._target.address)}:{self._target.port}{self._spec.path}"
        headers = {"Host": self._target.host, "Accept": "text/event-stream"}
        if self.last:
            headers["Last-Event-ID"] = str(self.last)
        try:
            async with session.get(url, headers=headers) as response:
                self._version = response.headers.get(self._spec.version_header, "")
                self._pod = response.headers.get(self._spec.pod_header, "")
                if response.status != 200:
                    raise Ended(outcome_of_status(response.status), status=response.status)
                return self._end(await self._events(response))
        except Ended as ended:
            self._report(ended.outcome, ended.status)
        except TimeoutError:
            self._report(Outcome.TIMEOUT)
        except aiohttp.ClientConnectorError as error:
            self._report(outcome_of_error(error.os_error))
        except (aiohttp.ClientError, OSError):
            self._report(Outcome.RESET)
        return None

    async def _events(self, response: aiohttp.ClientResponse) -> Outcome:
        """How the stream ended."""
        try:
            async for event in events_of(response.content):
                right = event.id == self.last + 1 and self._spec.is_right(event.id, event.data)
                self._report(Outcome.OK if right else Outcome.WRONG_BODY)
                self.last = event.id
        except (aiohttp.ClientPayloadError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            return Outcome.HALF_ANSWER
        return Outcome.OK

    def _end(self, outcome: Outcome) -> End:
        return End(
            kind=self._spec.kind,
            at=self._loop.time(),
            version=self._version,
            pod=self._pod,
            outcome=outcome,
            clean=outcome is Outcome.OK,
            under_way=False,
        )

    def _report(self, outcome: Outcome, status: int = 200) -> None:
        """An event is due when it comes, the first of a stream when it was asked for."""
        now = self._loop.time()
        due = self._asked if self._fresh else now
        self._sink(
            Record(
                id=self.last + 1,
                intended=due,
                sent=due,
                done=now,
                outcome=outcome,
                status=status,
                method=self._spec.kind,
                version=self._version,
                pod=self._pod,
                fresh=self._fresh,
            )
        )
        self._fresh = False


async def events_of(lines: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """The events of a stream of lines."""
    reader = EventReader()
    async for line in lines:
        if event := reader.feed(line):
            yield event


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
