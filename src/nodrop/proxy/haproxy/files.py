"""The files that a main process starts from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nodrop.proxy.haproxy.layout import Placed, parse_placed, render_placed
from nodrop.proxy.haproxy.plan import authorities_of
from nodrop.proxy.haproxy.processes import write_atomically
from nodrop.proxy.haproxy.render import render_map, render_maps
from nodrop.proxy.haproxy.slots import AUTHORITY_FOLDER
from nodrop.proxy.protocol import RoutingTable

log = logging.getLogger(__name__)

_SLOTS = "slots.json"


def map_texts(table: RoutingTable, placed: Placed) -> dict[str, str]:
    """What every main process starts from beside its own configuration, by name.

    The maps, and the files of authorities that the configuration names.
    """
    maps = {name: render_map(found) for name, found in render_maps(table, placed).items()}
    return {**maps, **authorities_of(table)}


def placed_text(placed: Placed) -> dict[str, str]:
    """What tells the next engine which pool has which slot."""
    return {_SLOTS: render_placed(placed)}


@dataclass(slots=True)
class MainFiles:
    """Writes what differs from what was written last. Raises ProxyFailure (a full disk).

    One thread of its own writes, in the order in which it is told: the configuration is long, and
    a disk may be slow, and pods that have become ready meanwhile shall not wait for either.
    """

    folder: Path
    #: That they bring back no pod that main was told to let go of. Until then: wait for ``keep``.
    known: bool = False
    _written: dict[str, str] = field(default_factory=dict)
    _authorities: set[str] | None = None  # those kept last; before that any may be there
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "files"))

    def write(self, texts: Mapping[str, str]) -> None:
        self._thread.submit(self._write, texts).result()

    def read_placed(self) -> Placed:
        """The slots as last written, by an engine before this one too."""
        try:
            return parse_placed((self.folder / _SLOTS).read_text())
        except OSError:
            return Placed()

    async def keep(self, texts: Mapping[str, str], *, wait: bool) -> None:
        """Write all that is in use, and remove what the configuration names no more.

        Without ``wait`` a failure is logged, and mended by what is written next.
        """
        kept = self._thread.submit(self._keep, texts)
        if wait:
            await asyncio.wrap_future(kept)
            self.known = True
        else:
            kept.add_done_callback(_tell)

    # Private

    def _keep(self, texts: Mapping[str, str]) -> None:
        self._write(texts)
        named = {name for name in texts if name.startswith(f"{AUTHORITY_FOLDER}/")}
        if named == self._authorities:
            return
        for path in (self.folder / AUTHORITY_FOLDER).glob("*.pem"):
            if (name := f"{AUTHORITY_FOLDER}/{path.name}") not in texts:
                self._written.pop(name, None)
                with suppress(OSError):  # one too many does no harm
                    path.unlink()
        self._authorities = named

    def _write(self, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            if self._written.get(name) != text:
                write_atomically(self.folder / name, text)
                self._written[name] = text


def _tell(written: Future[None]) -> None:
    if failure := written.exception():
        log.error("%s", failure)
