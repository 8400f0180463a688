"""An open-loop load: requests leave by schedule, however slow the service is.

Usable in-process (``Load``), as a process (``python -m nodrop.rehearse.process``), or through
``process.LoadProcess``, which keeps the caller's own work from disturbing the load.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable

from nodrop.rehearse.connection import Connection, Exchange, open_socket
from nodrop.rehearse.http1 import Response, render_request
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import LoadSpec, Shot

_SWEEP_S = 0.05
_OUR_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


class Load:
    """Sends ``spec``'s requests and hands a Record of each to ``sink``, exactly one each.

    No request is ever sent twice: one that was sent on a connection which then closes is lost.
    Only a kept-alive connection that is found closed *before* a byte was sent is replaced.
    """

    def __init__(self, spec: LoadSpec, sink: Callable[[Record], None]) -> None:
        self._spec = spec
        self._sink = sink
        self._shots = spec.mix.shots()
        self._idle: deque[Connection] = deque()
        self._on_wire: dict[Exchange, Connection] = {}
        self._in_flight = 0
        self._fired = 0
        self._stopping = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def fired(self) -> int:
        """How many requests have been due so far."""
        return self._fired

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def stop(self) -> None:
        """Send nothing more; ``run`` returns once everything in flight has ended."""
        self._stopping.set()

    async def run(self, duration_s: float | None = None, *, count: int | None = None) -> None:
        """Send until ``stop``, the duration, the count or the spec's bounds; then await answers."""
        self._loop = asyncio.get_running_loop()
        self._limit = min(self._spec.most_requests, count or self._spec.most_requests)
        longest_s = self._spec.longest_s if duration_s is None else duration_s
        self._start = self._loop.time()
        self._end = self._start + min(longest_s, self._spec.longest_s)
        try:
            async with asyncio.TaskGroup() as self._group:
                sweep = self._group.create_task(self._sweep(), name="load sweep")
                self._timer = self._loop.call_soon(self._tick)
                await self._stopping.wait()
                self._timer.cancel()
                await self._quiet.wait()
                sweep.cancel()
        finally:
            self._timer.cancel()
            self._close_all()

    # Sending

    def _tick(self) -> None:
        """Send everything that is due, and come back when the next one is."""
        now = self._loop.time()
        while (due := self._start + self._fired / self._spec.rate) <= now:
            if self._fired >= self._limit or due >= self._end:
                self._stopping.set()
                return
            self._fired += 1
            self._fire(next(self._shots), due)
        self._timer = self._loop.call_at(min(due, self._end), self._tick)

    def _fire(self, shot: Shot, due: float) -> None:
        now = self._loop.time()
        request = render_request(
            shot.method,
            shot.path,
            host=self._spec.target.host,
            request_id=f"{self._spec.id_prefix}{shot.number}",
            id_header=self._spec.id_header,
            body=shot.body,
            close=shot.fresh,
        )
        deadline = now + self._spec.timeout_s + shot.asked_s
        exchange = Exchange(shot, intended=due, deadline=deadline, request=request)
        self._in_flight += 1
        self._quiet.clear()
        if self._in_flight > self._spec.most_in_flight:
            self._finish(exchange, Outcome.UNSENT, None)
        elif shot.fresh or not self._send_on_idle(exchange):
            self._group.create_task(self._send_on_new(exchange))

    def _send_on_idle(self, exchange: Exchange) -> bool:
        while self._idle:
            connection = self._idle.popleft()
            if connection.alive and self._send(connection, exchange):
                return True
            connection.close()
        return False

    def _send(self, connection: Connection, exchange: Exchange) -> bool:
        if not connection.send(exchange):
            return False
        self._on_wire[exchange] = connection
        return True

    async def _send_on_new(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout_at(exchange.deadline):
                connection = await self._connect()
        except TimeoutError:
            self._finish(exchange, Outcome.TIMEOUT, None)
        except ConnectionRefusedError:
            self._finish(exchange, Outcome.REFUSED, None)
        except OSError as error:
            ours = error.errno in _OUR_LIMITS
            self._finish(exchange, Outcome.UNSENT if ours else Outcome.UNCONNECTED, None)
        else:
            if not self._send(connection, exchange):
                connection.close()
                self._finish(exchange, Outcome.RESET_UNSENT, None)

    async def _connect(self) -> Connection:
        sock = await open_socket(self._spec.target)
        connection = Connection(sock, clock=self._loop.time, finish=self._finish, idle=self._keep)
        await self._loop.create_connection(lambda: connection, sock=sock)
        return connection

    # Ending

    def _finish(self, exchange: Exchange, outcome: Outcome, response: Response | None) -> None:
        assert not exchange.done, "a request ended twice"
        exchange.done = True
        self._on_wire.pop(exchange, None)
        if outcome is Outcome.OK and response is not None:
            outcome = judge(exchange.shot, response, self._spec)
        self._sink(self._record(exchange, outcome, response))
        self._in_flight -= 1
        if not self._in_flight:
            self._quiet.set()

    def _record(self, exchange: Exchange, outcome: Outcome, response: Response | None) -> Record:
        spec = self._spec
        return Record(
            id=exchange.shot.number,
            intended=exchange.intended,
            sent=exchange.sent,
            done=self._loop.time(),
            outcome=outcome,
            status=response.status if response else 0,
            method=exchange.shot.method,
            version=response.header(spec.version_header) if response else "",
            pod=response.header(spec.pod_header) if response else "",
            fresh=exchange.fresh,
            asked_s=exchange.shot.asked_s,
            path=exchange.shot.path,
            by_app=bool(response and spec.app_header and response.header(spec.app_header)),
        )

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < self._spec.keep_alive_connections and not self._stopping.is_set():
            self._idle.append(connection)
        else:
            connection.close()

    async def _sweep(self) -> None:
        """End what took too long. Deadlines differ only by ``asked_s``, so few are looked at."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._loop.time()
            late = [item for item in self._on_wire.items() if item[0].deadline <= now]
            for exchange, connection in late:
                connection.time_out(exchange)

    def _close_all(self) -> None:
        for connection in [*self._idle, *self._on_wire.values()]:
            connection.close()
        self._idle.clear()


def judge(shot: Shot, response: Response, spec: LoadSpec) -> Outcome:
    """What a complete answer is worth: its status, then its body byte for byte, then its ids."""
    if 500 <= response.status < 600:
        return Outcome.STATUS_5XX
    if 400 <= response.status < 500:
        return Outcome.STATUS_4XX
    if not 200 <= response.status < 300:
        return Outcome.STATUS_OTHER
    if shot.method == "POST" and shot.echoed and response.body != shot.body:
        return Outcome.WRONG_BODY
    if spec.expect_id and response.header(spec.id_header) != f"{spec.id_prefix}{shot.number}":
        return Outcome.WRONG_BODY
    if response.header(spec.seen_header) not in ("", "1"):
        return Outcome.DUPLICATE
    return Outcome.OK
