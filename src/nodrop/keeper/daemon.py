"""Becoming the keeper: daemonise, lock the folder, claim a network, serve until shut down."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import signal
import socket
import sys

from nodrop.keeper import seccomp
from nodrop.keeper.children import Children
from nodrop.keeper.failure import Failed, failed
from nodrop.keeper.loop import READ, Loop, complain
from nodrop.keeper.processes import Processes
from nodrop.keeper.records import Records
from nodrop.keeper.server import Server
from nodrop.keeper.sockets import HeldSockets, claim_network
from nodrop.keeper.spawn import raise_open_files

_TERM_GRACE_S = 10.0
_BACKLOG = 64
ALREADY_RUNS = 3
"""Exit status of the starting process when another keeper holds the folder."""


def main(argv: list[str]) -> int:
    """``FOLDER SOCKET [NETWORK]``: returns once the keeper answers (0) or can't run (1, 3).

    The reason of a failure goes to stderr as ``CODE sentence``.
    """
    folder, path = argv[0], argv[1]
    network = int(argv[2]) if len(argv) > 2 else None
    ready, told = os.pipe()
    if os.fork():
        os.close(told)
        with os.fdopen(ready, "rb") as report:
            text = report.read().decode()
        sys.stderr.write(text.removeprefix("ok"))
        return 0 if text == "ok" else ALREADY_RUNS if text.startswith("EALREADY") else 1
    os.close(ready)
    _run(folder, path, network=network, told=told)
    os._exit(0)


def _run(folder: str, path: str, *, network: int | None, told: int) -> None:
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = _lock(folder)
        _detach(folder, keep=(told, lock))
        loop, listener = _prepare(folder, path, network)
    except Failed as failure:
        os.write(told, f"{failure.code} {failure.message}".encode())
        os._exit(1)
    except BaseException as error:
        os.write(told, f"EIO the keeper can't start in {folder}: {error!r}".encode())
        os._exit(1)
    os.write(told, b"ok")
    os.close(told)
    complain(f"keeper {os.getpid()} serves {path}")
    loop.run()
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener.close()
    complain(f"keeper {os.getpid()} ends")


def _lock(folder: str) -> int:
    fd = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Failed("EALREADY", f"a keeper already runs in {folder}") from error
    return fd


def _detach(folder: str, keep: tuple[int, ...]) -> None:
    """Own session, folder /, no descriptor of our parent's, stderr to our own log."""
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(os.path.join(folder, "keeper.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number, fd in ((0, null), (1, log), (2, log)):
        os.dup2(fd, number, inheritable=False)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            try:
                os.close(int(name))
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise


def _prepare(folder: str, path: str, network: int | None) -> tuple[Loop, socket.socket]:
    seccomp.become_subreaper()
    raise_open_files()
    octet, claim = claim_network(folder, network)
    loop = Loop()
    children = Children(loop)
    sockets = HeldSockets()
    processes = Processes(
        loop=loop,
        children=children,
        records=Records(os.path.join(folder, "processes")),
        sockets=sockets,
    )
    _watch_signals(loop, children, processes)
    processes.recover()
    listener = _listen(path)
    server = Server(loop=loop, processes=processes, sockets=sockets, network=octet)
    server.serve(listener)
    claim.detach()  # held until we end
    gc.collect()
    gc.freeze()  # children share these pages
    return loop, listener


def _listen(path: str) -> socket.socket:
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if os.lstat(folder).st_uid != os.geteuid():
            raise Failed("EPERM", f"the folder {folder} belongs to another user")
        os.chmod(folder, 0o700)
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise failed(f"can't listen on {path}", error) from error
    return listener


def _watch_signals(loop: Loop, children: Children, processes: Processes) -> None:
    """SIGCHLD reaps, SIGTERM ends all in order; SIGHUP, SIGINT and SIGPIPE mean nothing to us."""
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)

    def handle(_events: int) -> None:
        numbers = os.read(wake, 4096)
        if signal.SIGTERM in numbers:
            complain("SIGTERM: ending every process")
            processes.shutdown(_TERM_GRACE_S, loop.stop)
        children.reap()

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    loop.watch(wake, READ, handle)
