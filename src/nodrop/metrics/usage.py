"""CPU and memory of pods and of the engine's own processes: process trees under the keeper."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psutil

from nodrop.agent.runtime.process import CONTAINER_LABEL, POD_UID_LABEL
from nodrop.keeper.proc import children, descendants, mark_of
from nodrop.keeper.protocol import Keeper, KeeperFailure, ProcessRecord
from nodrop.proxy.haproxy.processes import ROLE

_MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Used:
    """``cpu_s`` is a total that only grows; ``cores`` what was used of late; memory is resident."""

    cpu_s: float = 0.0
    cores: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """By pod uid and container name, and by name of the engine's own processes."""

    containers: Mapping[tuple[str, str], Used] = field(default_factory=dict)
    own: Mapping[str, Used] = field(default_factory=dict)
    machine: Used = field(default_factory=Used)
    window_s: float = 0.0

    def of_pod(self, uid: str) -> Used:
        return total(used for (pod, _), used in self.containers.items() if pod == uid)


def total(parts: Iterable[Used]) -> Used:
    cpu_s, cores, memory_bytes = 0.0, 0.0, 0
    for used in parts:
        cpu_s, cores = cpu_s + used.cpu_s, cores + used.cores
        memory_bytes += used.memory_bytes
    return Used(cpu_s, cores, memory_bytes)


class UsageMeter:
    """Looks at the processes; what a process that has ended used stays in its tree's total."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._ended_s: dict[str, float] = {}
        self._alive_s: dict[str, dict[tuple[int, float], float]] = {}
        self._before: dict[str, float] = {}
        self._at_s: float | None = None

    async def look(self, now_s: float) -> Usage | None:
        """What is used now; None when the keeper can't be asked."""
        try:
            info, records = await self._keeper.info(), await self._keeper.list()
        except KeeperFailure:
            return None
        running = [record for record in records if record.exit_code is None]
        orphans = _by_mark(children(info.pid))
        trees = {
            record.id: descendants([record.pid, *orphans.get(mark_of(record.pid), ())])
            for record in running
        }
        measured = {id: self._measure(id, pids) for id, pids in trees.items()}
        measured |= {
            "engine": self._measure("engine", [os.getpid()]),
            "keeper": self._measure("keeper", [info.pid]),
            _MACHINE: _machine(),
        }
        window_s = 0.0 if self._at_s is None else now_s - self._at_s
        used = {
            id: Used(cpu_s, self._cores(id, cpu_s, window_s), memory_bytes)
            for id, (cpu_s, memory_bytes) in measured.items()
        }
        self._at_s = now_s
        self._before = {id: cpu_s for id, (cpu_s, _) in measured.items()}
        self._forget(measured.keys())
        return Usage(_containers(running, used), _own(running, used), used[_MACHINE], window_s)

    def _cores(self, id: str, cpu_s: float, window_s: float) -> float:
        if window_s <= 0 or id not in self._before:
            return 0.0
        return max(0.0, cpu_s - self._before[id]) / window_s

    def _measure(self, id: str, pids: Iterable[int]) -> tuple[float, int]:
        alive, memory_bytes = {}, 0
        for pid in pids:
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    cpu = process.cpu_times()
                    alive[(pid, process.create_time())] = cpu.user + cpu.system
                    memory_bytes += process.memory_info().rss
            except psutil.Error:
                continue  # it has ended meanwhile
        gone = [s for key, s in self._alive_s.get(id, {}).items() if key not in alive]
        self._ended_s[id] = self._ended_s.get(id, 0.0) + sum(gone)
        self._alive_s[id] = alive
        return self._ended_s[id] + sum(alive.values()), memory_bytes

    def _forget(self, known: Iterable[str]) -> None:
        known = set(known)
        self._ended_s = {id: s for id, s in self._ended_s.items() if id in known}
        self._alive_s = {id: found for id, found in self._alive_s.items() if id in known}


def _machine() -> tuple[float, int]:
    """CPU seconds that all processors were busy, and memory that is not available."""
    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    return sum(times[:8]) - idle_s, memory.total - memory.available


def _by_mark(pids: Iterable[int]) -> dict[int | None, list[int]]:
    """What has left its tree and still carries the container's mark."""
    found: dict[int | None, list[int]] = {}
    for pid in pids:
        found.setdefault(mark_of(pid), []).append(pid)
    return found


def _containers(
    running: Iterable[ProcessRecord], used: Mapping[str, Used]
) -> dict[tuple[str, str], Used]:
    return {
        (record.labels[POD_UID_LABEL], record.labels[CONTAINER_LABEL]): used[record.id]
        for record in running
        if POD_UID_LABEL in record.labels and record.id in used
    }


def _own(running: Iterable[ProcessRecord], used: Mapping[str, Used]) -> dict[str, Used]:
    own = {name: used[name] for name in ("engine", "keeper")}
    for record in running:
        if role := record.labels.get(ROLE):
            own[role] = total((own.get(role, Used()), used[record.id]))
    return own
