"""One process as the keeper knows it: what was asked for, what runs, how it ended."""

from __future__ import annotations

import time

from nodrop.keeper import proc
from nodrop.keeper.failure import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nodrop.keeper.children import Child
    from nodrop.keeper.console import Console
    from nodrop.keeper.loop import Timer

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:@")
_KEPT_SIGNALS = 32


class Process:
    """State of one id. ``view`` is what clients and the disk get."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.id = checked_id(spec["id"])
        self.argv: list[str] = list(spec["argv"])
        if not self.argv:
            raise Failed("EINVAL", f"process {self.id} has no command")
        self.env: dict[str, str] = dict(spec["env"])
        self.cwd: str = spec["cwd"]
        self.log: str | None = spec.get("log")
        self.bind_ip: str | None = spec.get("bind_ip")
        self.fds: dict[str, int] = dict(spec.get("fds") or {})
        self.restart: bool = bool(spec.get("restart", False))
        self.stdin: bool = bool(spec.get("stdin", False))
        self.stdin_once: bool = bool(spec.get("stdin_once", False))
        self.tty: bool = bool(spec.get("tty", False))
        self.mounts = [(str(m[0]), str(m[1]), bool(m[2])) for m in spec.get("mounts") or ()]
        self.labels: dict[str, str] = dict(spec.get("labels") or {})
        self.notes: dict[str, str] = {}
        self.signals: list[tuple[int, float]] = []
        self.pid = 0
        self.start_ticks = 0
        self.mark = 0
        self.boot_id = ""
        self.started_at = 0.0
        self.exit_code: int | None = None
        self.exited_at: float | None = None
        self.known = True
        self.bind_redirect = False
        self.bind_error = ""
        self.restarts = 0
        self.child: Child | None = None
        self.console: Console | None = None
        self.beside: set[Child] = set()
        self.left: set[int] = set()  # marks of commands beside it that have left something running
        self.again: Timer | None = None
        self.last_code = 0
        self.quick_ends = 0
        self.waiters: dict[int, Callable[[dict[str, Any]], None]] = {}

    @staticmethod
    def from_disk(record: dict[str, Any]) -> Process:
        process = Process({**record, "argv": record.get("argv") or ["?"], "env": {}})
        for name in ("pid", "start_ticks", "mark", "boot_id", "started_at", "exit_code"):
            setattr(process, name, record[name])
        for name in ("exited_at", "known", "notes", "bind_redirect", "bind_error", "restarts"):
            setattr(process, name, record[name])
        process.left = set(record.get("left") or ())
        process.signals = [(number, at) for number, at in record["signals"]]
        process.restart = False
        return process

    @property
    def ended(self) -> bool:
        return self.exit_code is not None

    def runs_as(self, child: Child, boot_id: str) -> None:
        self.child = child
        self.pid, self.start_ticks, self.mark = child.pid, child.start_ticks, child.mark
        self.boot_id = boot_id
        self.started_at = time.time()
        self.bind_redirect, self.bind_error = child.bind_redirect, child.bind_error

    def ends(self, code: int, *, known: bool = True) -> None:
        self.exit_code = code
        self.exited_at = time.time()
        self.known = known

    def sent(self, number: int) -> None:
        self.signals = [*self.signals[1 - _KEPT_SIGNALS :], (number, time.time())]

    def view(self) -> dict[str, Any]:
        """The fields of protocol.ProcessRecord."""
        names = (
            "id pid start_ticks started_at exit_code exited_at known labels notes signals "
            "bind_redirect bind_error restarts"
        )
        return {name: getattr(self, name) for name in names.split()}

    def for_disk(self) -> dict[str, Any]:
        """The view and what a later keeper needs. No environment: it may hold secrets."""
        more = "argv cwd log bind_ip fds restart mark boot_id"
        kept = {name: getattr(self, name) for name in more.split()}
        return {**self.view(), **kept, "left": sorted(self.left)}

    def left_running(self, boot_id: str) -> bool:
        """True when a keeper before us died and this process still runs."""
        return self.boot_id == boot_id and proc.start_ticks(self.pid) == self.start_ticks != 0


def checked_id(id: object) -> str:
    """An id is a file name: letters, digits and ``._-:@``, at most 200, no dot in front."""
    if not isinstance(id, str) or not 0 < len(id) <= 200 or id[0] == "." or set(id) - _ALLOWED:
        raise Failed("EINVAL", f"{id!r} is no valid process id")
    return id
