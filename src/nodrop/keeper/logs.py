"""Container logs in the CRI format, rotated: ``<time> stdout|stderr F|P <text>``."""

from __future__ import annotations

import os
import time

from nodrop.keeper.loop import complain

MAX_TEXT_BYTES = 16 * 1024
ROTATE_BYTES = 10 * 1024 * 1024
KEPT_FILES = 5


def stamp(now_ns: int) -> bytes:
    """RFC 3339 with nanoseconds: ``2026-11-23T10:00:00.123456789Z``."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % rest


class Stream:
    """Turns what a process writes to one stream into log lines; a long line comes in parts (P)."""

    __slots__ = ("_name", "_rest")

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._rest = b""

    def feed(self, data: bytes, now_ns: int) -> bytes:
        *complete, rest = (self._rest + data).split(b"\n")
        head = stamp(now_ns) + b" " + self._name
        out = [piece for text in complete for piece in self._pieces(head, text)]
        while len(rest) > MAX_TEXT_BYTES:
            out.append(b"%b P %b\n" % (head, rest[:MAX_TEXT_BYTES]))
            rest = rest[MAX_TEXT_BYTES:]
        self._rest = rest
        return b"".join(out)

    def end(self, now_ns: int) -> bytes:
        """The last line when it lacks its newline."""
        return self.feed(b"\n", now_ns) if self._rest else b""

    @staticmethod
    def _pieces(head: bytes, text: bytes) -> list[bytes]:
        pieces = []
        while len(text) > MAX_TEXT_BYTES:
            pieces.append(b"%b P %b\n" % (head, text[:MAX_TEXT_BYTES]))
            text = text[MAX_TEXT_BYTES:]
        pieces.append(b"%b F %b\n" % (head, text))
        return pieces


class LogFile:
    """An append-only file that moves to ``.1`` … ``.4`` when it has grown to 10 MiB."""

    __slots__ = ("_fd", "_full", "_path", "_rotate_bytes", "_size")

    def __init__(self, path: str, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._full = False
        self._fd = -1
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        self._open()

    def _open(self) -> None:
        """Swap only once the new file is open: a number that was closed may mean another file."""
        before = self._fd
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size
        if before >= 0:
            os.close(before)

    def write(self, lines: bytes) -> None:
        """Append; where the disk refuses, lines are lost and said to be lost, once."""
        try:
            if self._size >= self._rotate_bytes:
                self._rotate()
            view = memoryview(lines)
            while view:
                written = os.write(self._fd, view)
                self._size += written
                view = view[written:]
            self._full = False
        except OSError as error:
            if not self._full:
                complain(f"lines of {self._path} are lost: {error}")
            self._full = True

    def _rotate(self) -> None:
        if os.path.exists(self._path):  # else removed by hand, or moved and not opened anew
            for number in range(KEPT_FILES - 2, 0, -1):
                older = f"{self._path}.{number}"
                if os.path.exists(older):
                    os.replace(older, f"{self._path}.{number + 1}")
            os.replace(self._path, f"{self._path}.1")
        self._open()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
