"""Clients that stay connected and send numbered messages by schedule, each to be echoed once.

For any protocol whose connection can ``exchange`` (WebSocket, plain TCP)::

    load = EchoLoad(spec, lambda: WebSocket.connect(target, "/ws", timeout_s=5),
                    sink=records.append, on_end=ends.append)
    await load.run(duration_s=10)  # or load.stop() from elsewhere
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from nodrop.rehearse.http1 import Response
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.stream import End, Ended, StreamLoad


class EchoConnection(Protocol):
    """A connection on which messages come back. ``ended`` is None while it is open."""

    @property
    def ended(self) -> Ended | None: ...

    def header(self, name: str) -> str: ...

    async def exchange(self, payload: bytes, *, timeout_s: float) -> bytes: ...

    async def close(self) -> None: ...

    def abort(self) -> None: ...


Connect = Callable[[], Awaitable[EchoConnection]]


@dataclass(frozen=True, slots=True)
class EchoSpec:
    """How many connections send how much. ``rate`` is messages a second on each connection.

    ``again_after_cut``: what was under way when a connection was cut is sent again, as clients do
    that number their messages; otherwise it is lost. After a clean end it is always sent again:
    the other side has said that it did not take it. ``text``: messages are ASCII text.
    """

    kind: str
    connections: int = 8
    rate: float = 10.0
    payload_bytes: int = 64
    timeout_s: float = 10.0
    again_after_cut: bool = False
    text: bool = False
    seed: int = 1
    version_header: str = "X-Version"
    pod_header: str = "X-Pod"


class EchoLoad(StreamLoad):
    """Hands ``sink`` exactly one Record a message, ``on_end`` every end not of our making.

    A message is lost when it was not echoed byte for byte, or echoed twice, or no connection could
    be had for it.
    """

    def __init__(
        self,
        spec: EchoSpec,
        connect: Connect,
        *,
        sink: Callable[[Record], None],
        on_end: Callable[[End], None] = lambda _end: None,
    ) -> None:
        super().__init__(sink=sink, on_end=on_end)
        self._spec = spec
        self._connect = connect

    async def _clients(self) -> None:
        start = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number in range(self._spec.connections):
                group.create_task(self._session(number, start), name=f"echo {number}")

    async def _session(self, number: int, start: float) -> None:
        """One client: a message when one is due, on a connection that is made when needed."""
        spec = self._spec
        chance = random.Random(f"{spec.seed}/{number}")
        client = _Client(spec, self._connect, self._on_end)
        first = start + number / spec.connections / spec.rate  # not all at the same moment
        sequence = 0
        while await self._due(first + sequence / spec.rate):
            noise = chance.randbytes(spec.payload_bytes)
            noise = noise.hex().encode() if spec.text else noise
            payload = b"%d/%d:" % (number, sequence) + noise
            intended = first + sequence / spec.rate
            name = sequence * spec.connections + number
            self._sink(await client.echo(payload, name=name, intended=intended))
            sequence += 1
        await client.close()

    async def _due(self, when: float) -> bool:
        """Wait until then; False when the load is stopping."""
        try:
            async with asyncio.timeout_at(when):
                await self._stopping.wait()
        except TimeoutError:
            pass
        return not self._stopping.is_set()


class _Client:
    """Keeps one connection, and makes another when it has ended."""

    def __init__(self, spec: EchoSpec, connect: Connect, on_end: Callable[[End], None]) -> None:
        self._spec = spec
        self._connect = connect
        self._on_end = on_end
        self._connection: EchoConnection | None = None
        self._fresh = True
        self._sent = 0.0

    async def echo(self, payload: bytes, *, name: int, intended: float) -> Record:
        """Have one message echoed, on one connection or the next."""
        loop = asyncio.get_running_loop()
        outcome, status, self._sent = Outcome.OK, 0, 0.0
        last: EchoConnection | Response | None = self._connection
        try:
            async with asyncio.timeout(self._spec.timeout_s):
                last, answer = await self._until_answered(payload)
            outcome = Outcome.OK if answer == payload else Outcome.WRONG_BODY
        except Ended as ended:
            outcome, status, last = ended.outcome, ended.status, ended.response or last
        except TimeoutError:
            outcome = Outcome.TIMEOUT
            self._abort()
        return Record(
            id=name,
            intended=intended,
            sent=self._sent,
            done=loop.time(),
            outcome=outcome,
            status=status,
            method=self._spec.kind,
            version=last.header(self._spec.version_header) if last else "",
            pod=last.header(self._spec.pod_header) if last else "",
            fresh=self._fresh,
        )

    async def close(self) -> None:
        if self._connection is not None and not self._note_end(under_way=False):
            await self._connection.close()

    async def _until_answered(self, payload: bytes) -> tuple[EchoConnection, bytes]:
        """The answer, and who gave it. Raises Ended when the message is lost."""
        while True:
            connection = await self._connected()
            self._sent = asyncio.get_running_loop().time()
            try:
                answer = await connection.exchange(payload, timeout_s=self._spec.timeout_s)
            except Ended as ended:
                self._note_end(under_way=True)
                if not (ended.clean or (self._spec.again_after_cut and _is_cut(ended))):
                    raise
            else:
                return connection, answer

    async def _connected(self) -> EchoConnection:
        before = self._connection
        if before is not None and not self._note_end(under_way=False):
            self._fresh = False
            return before
        if before is not None and (why := before.ended) and not (why.clean or _is_cut(why)):
            raise why  # such as a second echo of the message before
        self._connection, self._fresh = await self._connect(), True
        return self._connection

    def _abort(self) -> None:
        """Nothing that still comes may be taken for the next message's echo."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _note_end(self, *, under_way: bool) -> bool:
        """Report the connection's end, once; False while it is open."""
        connection = self._connection
        if connection is None or connection.ended is None:
            return False
        end = End(
            kind=self._spec.kind,
            at=asyncio.get_running_loop().time(),
            version=connection.header(self._spec.version_header),
            pod=connection.header(self._spec.pod_header),
            outcome=connection.ended.outcome,
            clean=connection.ended.clean,
            under_way=under_way,
        )
        self._connection = None
        self._on_end(end)
        return True


def _is_cut(ended: Ended) -> bool:
    """Whether the network ended it, rather than a wrong or missing answer."""
    return ended.outcome in (
        Outcome.RESET,
        Outcome.CLOSED,
        Outcome.CLOSED_KEEP_ALIVE,
        Outcome.RESET_MID_ANSWER,
        Outcome.HALF_ANSWER,
    )
