"""What /proc and rlimits tell about processes: identity, children, and whose they are.

Every container carries a *mark*: a number in RLIMIT_RSS, a limit that Linux has not enforced
since 2.4. It is inherited through fork, exec and setsid, an ordinary process never changes it,
and it needs no entry in the environment. So an orphan that was reparented to the keeper can
still be told to belong to its container.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable

_HIGHEST_MARK = 1 << 62
_KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def stat_fields(pid: int) -> list[bytes] | None:
    """Fields of /proc/PID/stat from field 3 (state) on; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return None


def start_ticks(pid: int) -> int:
    """Field 22: when the process started, in clock ticks since boot; 0 when it is gone."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else 0


def children(pid: int) -> list[int]:
    """Direct children of all threads of a process."""
    return children_listed(pid) if _KERNEL_LISTS_CHILDREN else children_by_parent(pid)


def children_by_parent(pid: int) -> list[int]:
    """The slow way: whose parent is it? For kernels without CONFIG_PROC_CHILDREN."""
    parents = ((other, stat_fields(other)) for other in everyone())
    return [other for other, fields in parents if fields and int(fields[1]) == pid]


def children_listed(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it ended while we looked
    return found


def descendants(roots: Iterable[int]) -> list[int]:
    """The given processes and everything below them, parents first."""
    found: dict[int, None] = {}
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = None
            waiting += children(pid)
    return list(found)


def new_mark() -> int:
    """A number that no other container carries, within what our own limit allows."""
    hard = resource.getrlimit(resource.RLIMIT_RSS)[1]
    top = _HIGHEST_MARK if hard == resource.RLIM_INFINITY else min(hard, _HIGHEST_MARK)
    span = min(1 << 48, max(1, top // 2))
    return top - 1 - int.from_bytes(os.urandom(6), "big") % span


def set_mark(mark: int) -> None:
    resource.setrlimit(resource.RLIMIT_RSS, (mark, mark))


def mark_of(pid: int) -> int | None:
    try:
        return resource.prlimit(pid, resource.RLIMIT_RSS)[1]
    except (OSError, ValueError):
        return None


def marked(marks: Container[int | None], pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if mark_of(pid) in marks]


def everyone() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def send(pid: int, number: int) -> None:
    """Signal through a pidfd; one that has gone, or became another user's, is passed over."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        os.close(pidfd)


def kill_family(mark: int, roots: Iterable[int]) -> int:
    """SIGKILL everything below ``roots`` and all that carry the mark beside them.

    A killed process can't fork any more, so rounds end as soon as one finds nobody new.
    Returns how many were signalled.
    """
    main = tuple(roots)
    killed: set[int] = set()
    while True:
        orphans = marked({mark}, children(os.getpid()))
        fresh = [pid for pid in descendants((*main, *orphans)) if pid not in killed]
        if not fresh:
            return len(killed)
        for pid in fresh:
            send(pid, signal.SIGKILL)
        killed.update(fresh)


def await_end(pids: Iterable[int], within_s: float) -> None:
    """Return once all of ``pids`` have ended (their sockets are closed then), or time is up."""
    deadline = time.monotonic() + within_s
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        finally:
            os.close(pidfd)
