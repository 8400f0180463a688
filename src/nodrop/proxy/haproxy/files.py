"""The files that a main process starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nodrop.proxy.haproxy.layout import Placed, parse_placed, render_placed
from nodrop.proxy.haproxy.plan import authorities_of
from nodrop.proxy.haproxy.processes import write_atomically
from nodrop.proxy.haproxy.render import render_map, render_maps
from nodrop.proxy.haproxy.slots import AUTHORITY_FOLDER
from nodrop.proxy.protocol import RoutingTable

_SLOTS = "slots.json"


@dataclass(slots=True)
class MainFiles:
    """Writes what differs from what was written last. Raises ProxyFailure (a full disk)."""

    folder: Path
    _written: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> None:
        if self._written.get(name) != text:
            write_atomically(self.folder / name, text)
            self._written[name] = text

    def write_maps(self, table: RoutingTable, placed: Placed) -> None:
        """The maps, and the files of authorities that the configuration names."""
        for name, entries in render_maps(table, placed).items():
            self.write(name, render_map(entries))
        for name, pem in authorities_of(table).items():
            (self.folder / AUTHORITY_FOLDER).mkdir(exist_ok=True)
            self.write(name, pem)

    def drop_authorities(self, table: RoutingTable) -> None:
        """Remove those that the configuration, written before, names no more."""
        used = authorities_of(table)
        for path in (self.folder / AUTHORITY_FOLDER).glob("*.pem"):
            if (name := f"{AUTHORITY_FOLDER}/{path.name}") not in used:
                path.unlink(missing_ok=True)
                self._written.pop(name, None)

    def write_placed(self, placed: Placed) -> None:
        self.write(_SLOTS, render_placed(placed))

    def read_placed(self) -> Placed:
        """The slots as last written, by an engine before this one too."""
        try:
            return parse_placed((self.folder / _SLOTS).read_text())
        except OSError:
            return Placed()
