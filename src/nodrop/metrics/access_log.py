"""The JSON access log: one line a request, in a file of bounded size."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from nodrop.metrics.directory import PodName
from nodrop.proxy.haproxy.log import Line
from nodrop.proxy.protocol import ServicePort

LARGEST_FILE_BYTES = 64 * 1024 * 1024
KEPT_FILES = 4


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log; docs/reference/access-log.md explains every field."""

    time: str
    client: str
    method: str
    host: str
    path: str
    code: int
    bytes_in: int
    bytes_out: int
    duration_ms: int
    receive_ms: int
    queue_ms: int
    connect_ms: int
    response_ms: int
    transfer_ms: int
    namespace: str
    service: str
    port: int
    pod: str
    version: str
    retries: int
    redispatched: bool
    termination: str


def entry_of(line: Line, pool: ServicePort | None, pod: PodName | None) -> Entry | None:
    """None for a line of the sample, which does not tell enough."""
    request = line.request
    if request is None:
        return None
    at = datetime.fromtimestamp(request.started_s, timezone.utc)
    return Entry(
        time=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        client=request.client,
        method=request.method,
        host=request.host,
        path=request.path,
        code=line.code,
        bytes_in=request.bytes_in,
        bytes_out=request.bytes_out,
        duration_ms=line.total_ms,
        receive_ms=request.receive_ms,
        queue_ms=request.queue_ms,
        connect_ms=request.connect_ms,
        response_ms=request.response_ms,
        transfer_ms=request.transfer_ms,
        namespace=pool.namespace if pool else "",
        service=pool.service if pool else "",
        port=pool.port if pool else 0,
        pod=pod.name if pod else "",
        version=pod.version if pod else "",
        retries=request.retries,
        redispatched=request.redispatched,
        termination=request.termination,
    )


@dataclass(slots=True)
class AccessLog:
    """Appends lines to ``path``; a full file moves to ``<path>.1`` (… ``.4``, then it is dropped).

    A line that can't be written (a full disk) is counted and lost: nothing waits for the log.
    """

    path: Path
    largest_bytes: int = LARGEST_FILE_BYTES
    written: int = 0
    dropped: int = 0
    _fd: int = -1
    _size: int = 0
    _encoder: msgspec.json.Encoder = field(default_factory=msgspec.json.Encoder)

    def write(self, entries: list[Entry]) -> None:
        if not entries:
            return
        data = self._encoder.encode_lines(entries)
        try:
            self._make_room(len(data))
            done = os.write(self._fd, data)
        except OSError:
            self.close()
            self.dropped += len(entries)
            return
        self._size += done
        lines = data[:done].count(b"\n")
        self.written += lines
        self.dropped += len(entries) - lines
        if done < len(data):
            self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    # Private

    def _make_room(self, more_bytes: int) -> None:
        if self._fd >= 0 and self._size and self._size + more_bytes > self.largest_bytes:
            self.close()
            self._move_up()
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._size = os.fstat(self._fd).st_size

    def _move_up(self) -> None:
        for number in range(KEPT_FILES, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self.path
            if newer.exists():
                os.replace(newer, older)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
