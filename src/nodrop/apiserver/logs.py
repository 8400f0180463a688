"""Container logs from the files that the keeper writes, as kubectl reads them.

A file is ``<pods>/<pod uid>/logs/<container>/<restart count>.log``, its older parts ``….log.1``,
``.2`` and so on (the higher, the older); loglines.py knows what stands in it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, TypeAlias

from nodrop.apiserver.containers import container_name, container_status, runs
from nodrop.apiserver.loglines import Formatter, tail_offset
from nodrop.apiserver.streams import LogOptions
from nodrop.clock import Clock
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.meta import Obj, ObjectKey, key_of, uid_of

_LOOK_EVERY_S = 0.1
_CHUNK_BYTES = 64 * 1024


Identity: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a container: which log file, and whether it has ended."""

    container: str
    restart_count: int
    ended: bool


class FileLogs:
    """LogSource over log files. ``read_pod`` raises ApiError 404 when the pod has gone."""

    def __init__(self, pods: Path, read_pod: Callable[[ObjectKey], Obj], clock: Clock) -> None:
        self._pods = pods
        self._read_pod = read_pod
        self._clock = clock

    def open(self, pod: Obj, options: LogOptions) -> AsyncIterator[bytes]:
        """See LogSource. A log that has no file yet is empty (and grows, with ``follow``)."""
        run = choose_run(pod, options)
        path = self._pods / uid_of(pod) / "logs" / run.container / f"{run.restart_count}.log"
        if options.previous and not _parts(path):
            raise _no_previous(pod, run.container)
        since = options.since_time
        if options.since_s is not None:
            since = self._clock.now() - timedelta(seconds=options.since_s)
        formatter = Formatter(timestamps=options.timestamps, since=since, stream=options.stream)
        return _limited(self._read(pod, run, path, options, formatter), options.limit_bytes)

    # Private

    async def _read(
        self, pod: Obj, run: Run, path: Path, options: LogOptions, formatter: Formatter
    ) -> AsyncIterator[bytes]:
        with _Parts(path) as parts:
            if options.tail_lines is not None:
                parts.skip_to_last(options.tail_lines)
            follow = options.follow and not options.previous
            while True:
                ended = run.ended or not follow or self._has_ended(pod, run)
                for chunk in parts.read():
                    if text := formatter.feed(chunk):
                        yield text
                if ended:
                    return
                await asyncio.sleep(_LOOK_EVERY_S)

    def _has_ended(self, pod: Obj, run: Run) -> bool:
        """Whether this run is over: container ended or started anew, or the pod is gone."""
        try:
            now = self._read_pod(key_of(pod))
        except ApiError as error:
            if error.code == 404:
                return True
            raise
        if uid_of(now) != uid_of(pod):
            return True
        status = container_status(now, run.container) or {}
        return status.get("restartCount", 0) != run.restart_count or not runs(status)


def choose_run(pod: Obj, options: LogOptions) -> Run:
    """The run that ``options`` mean. Raises ApiError 400 with upstream's words."""
    name = container_name(pod, options.container)
    status = container_status(pod, name)
    pod_name = pod["metadata"]["name"]
    if status is None:
        if options.previous:
            raise _no_previous(pod, name)
        reason = "ContainerCreating"
        raise bad_request(f'container "{name}" in pod "{pod_name}" is waiting to start: {reason}')
    count, last = status.get("restartCount", 0), (status.get("lastState") or {}).get("terminated")
    waiting = (status.get("state") or {}).get("waiting")
    if options.previous:
        if not last:
            raise _no_previous(pod, name)
        # In back-off the last run is still the one that restartCount names.
        return Run(name, count if waiting else count - 1, ended=True)
    if waiting is not None and not last:
        reason = waiting.get("reason") or "ContainerCreating"
        raise bad_request(f'container "{name}" in pod "{pod_name}" is waiting to start: {reason}')
    return Run(name, count, ended=not runs(status))


# Private


def _no_previous(pod: Obj, container: str) -> ApiError:
    pod_name = pod["metadata"]["name"]
    return bad_request(f'previous terminated container "{container}" in pod "{pod_name}" not found')


async def _limited(chunks: AsyncIterator[bytes], limit_bytes: int | None) -> AsyncIterator[bytes]:
    """The first ``limit_bytes`` of ``chunks``."""
    left = limit_bytes
    async for chunk in chunks:
        if left is None:
            yield chunk
            continue
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


def _parts(path: Path) -> list[Path]:
    """The files of one log, oldest first."""
    older = [
        (int(suffix), part)
        for part in path.parent.glob(f"{path.name}.*")
        if (suffix := part.name.removeprefix(f"{path.name}.")).isdecimal()
    ]
    parts = [part for _, part in sorted(older, reverse=True)]
    return [*parts, path] if path.exists() else parts


class _Parts:
    """The files of one log, read in order as one stream that survives rotation.

    The newest file is held open, so its inode can't be given to another one: wherever rotation
    has moved it, the files behind it in the order of age are the new ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[BinaryIO] = []  # still to be read; the last one may grow
        self._newest: Identity | None = None

    def __enter__(self) -> _Parts:
        self._find_new()
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def skip_to_last(self, lines: int) -> None:
        """Move on to the last ``lines`` lines of what is there."""
        wanted = lines
        for index in range(len(self._files) - 1, -1, -1):
            file = self._files[index]
            wanted -= _seek_to_last(file, wanted)
            if wanted <= 0 and index:
                for skipped in self._files[:index]:
                    skipped.close()
                del self._files[:index]
                return

    def read(self) -> Iterator[bytes]:
        """All that can be read now."""
        yield from self._read_files()
        if self._find_new():
            # The rotated file may have got its last lines after we had read it.
            yield from self._read_files()

    # Private

    def _read_files(self) -> Iterator[bytes]:
        while self._files:
            while chunk := self._files[0].read(_CHUNK_BYTES):
                yield chunk
            if len(self._files) == 1:
                return
            self._files.pop(0).close()

    def _find_new(self) -> bool:
        if self._newest is not None and _identity(self._path) == self._newest:
            return False
        opened = _open_parts(self._path)
        identities = [_identity(file.fileno()) for file in opened]
        known = identities.index(self._newest) + 1 if self._newest in identities else 0
        for file in opened[:known]:
            file.close()
        if not opened[known:]:
            return False
        self._files += opened[known:]
        self._newest = identities[-1]
        return True


def _identity(file: Path | int) -> Identity | None:
    """Device and inode; None for a path where nothing is."""
    try:
        state = os.stat(file)
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _open_parts(path: Path) -> list[BinaryIO]:
    """All parts of a log, oldest first, as they stood at one moment."""
    while True:
        before = _identity(path)
        opened: list[BinaryIO] = []
        for part in _parts(path):
            with suppress(FileNotFoundError):  # rotated just now, which the check below sees
                opened.append(part.open("rb"))
        if _identity(path) == before:
            return opened
        for file in opened:
            file.close()


def _seek_to_last(file: BinaryIO, lines: int) -> int:
    """Seek to the last ``lines`` lines of ``file``; returns how many it has of them."""
    position = file.seek(0, os.SEEK_END)
    block = b""
    while True:
        start = max(0, position - _CHUNK_BYTES)
        file.seek(start)
        block = file.read(position - start) + block
        position = start
        offset, found = tail_offset(block, lines)
        if start == 0 or offset > 0:
            file.seek(start + offset)
            return found
