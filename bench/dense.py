"""A load so dense that its own gaps tell little: one thread, kept connections, nothing but GETs.

The load of rehearsals keeps a record of every request, and a rate at which each of seven pods gets
one a millisecond would take more of the machine than is measured here. This one only looks at the
headers that pods put into their answers, and takes about 40 µs a request.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from dataclasses import dataclass, field

from bench.engine import BenchFailed
from nodrop.rehearse.schedule import target_of

_CONNECTIONS = 8
_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
_LONGEST_WAIT_S = 0.1


@dataclass(slots=True)
class Heard:
    """What the answers said: pod → its headers as in its first answer; and when was sent."""

    answers: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: int = 0
    gaps_ms: list[float] = field(default_factory=list)
    trouble: str = ""


class DenseLoad:
    """``rate`` requests a second at equal distances, until ``stop``; late ones are not made up."""

    def __init__(self, url: str, rate: float) -> None:
        target = target_of(url)
        self._address = (target.address, target.port)
        self._period_s = 1 / rate
        self._stopping = threading.Event()
        self.heard = Heard()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Heard:
        """End it. Raises BenchFailed when a request was not answered with 200."""
        self._stopping.set()
        self._thread.join()
        if self.heard.trouble:
            raise BenchFailed(f"a request was lost: {self.heard.trouble}")
        return self.heard

    def _run(self) -> None:
        idle = [self._connect() for _ in range(_CONNECTIONS)]
        busy: dict[int, socket.socket] = {}
        try:
            with select.epoll() as ready:
                for sock in idle:
                    ready.register(sock, select.EPOLLIN)
                self._keep_asking(idle, busy, ready)
        except OSError as error:
            self.heard.trouble = str(error)
        finally:
            for sock in (*idle, *busy.values()):
                sock.close()

    def _keep_asking(
        self, idle: list[socket.socket], busy: dict[int, socket.socket], ready: select.epoll
    ) -> None:
        due_s = before_s = time.monotonic()
        while not (self._stopping.is_set() or self.heard.trouble):
            now_s = time.monotonic()
            if now_s >= due_s and idle:
                sock = idle.pop()
                sock.sendall(_REQUEST)
                busy[sock.fileno()] = sock
                self.heard.gaps_ms.append(1000 * (now_s - before_s))
                before_s, due_s = now_s, max(due_s + self._period_s, now_s)
            left_s = due_s - time.monotonic() if idle else _LONGEST_WAIT_S
            for number, _ in ready.poll(max(0.0, left_s)):
                sock = busy.pop(number)
                self._hear(sock.recv(65536))
                idle.append(sock)

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(self._address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _hear(self, answer: bytes) -> None:
        """Pods answer without a body and in one piece."""
        status, *lines = answer.decode().split("\r\n")
        if status.split(" ")[1:2] != ["200"] or not answer.endswith(b"\r\n\r\n"):
            self.heard.trouble = status or "the connection was closed"
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        self.heard.requests += 1
        self.heard.answers.setdefault(headers.get("x-pod", ""), headers)
