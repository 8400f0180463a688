"""Fork and exec of one program: fresh session, exact environment, clean signals, given fds."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import socket
import termios

from nodrop.keeper import mounts, proc, seccomp
from nodrop.keeper.failure import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

_EVERY_SIGNAL = signal.valid_signals()
_OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
_MOST_OPEN_FILES = 65536
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class Command:
    """What to execute. ``fds`` maps numbers in the new process to descriptors of ours.

    With ``tty`` its descriptor 0 is a terminal, which becomes the one of its session.
    """

    __slots__ = ("argv", "bind_ip", "cwd", "env", "fds", "mark", "mounts", "tty")

    def __init__(
        self,
        argv: list[str],
        env: Mapping[str, str],
        *,
        cwd: str,
        bind_ip: str | None,
        fds: Mapping[int, int],
        mounts: Sequence[tuple[str, str, bool]] = (),
        tty: bool = False,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.bind_ip = bind_ip
        self.fds = fds
        self.mounts = mounts
        self.tty = tty
        self.mark = proc.new_mark()


class Spawned:
    """A running program; ``listener`` tells of its binds, or ``bind_error`` why it can't."""

    __slots__ = ("bind_error", "listener", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.listener: int | None = None
        self.bind_error = ""


def raise_open_files() -> None:
    """The keeper needs about four descriptors a process; what it starts gets the old limit."""
    soft, hard = _OPEN_FILES
    most = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def spawn(command: Command) -> Spawned:
    """Start it; returns once it is executed. Raises Failed when that can't be done."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _EVERY_SIGNAL)
            try:
                pid = os.fork()
                if pid == 0:
                    _child(command, theirs)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return _hear(command, Spawned(pid), ours)


def _hear(command: Command, spawned: Spawned, ours: socket.socket) -> Spawned:
    """Read what the child reports until exec (or its end) closes the socket."""
    while True:
        message, fds = receive_fds(ours, 4096, 1)
        if fds:
            spawned.listener = fds[0]
        if not message:
            return spawned
        word, _, text = message.decode(errors="replace").partition(" ")
        if word == "unfiltered":
            spawned.bind_error = text
        elif word == "failed":
            os.waitpid(spawned.pid, 0)
            if spawned.listener is not None:
                os.close(spawned.listener)
            code, _, sentence = text.partition(" ")
            raise Failed(code, sentence)


def receive_fds(
    connection: socket.socket, most_bytes: int, most_fds: int
) -> tuple[bytes, list[int]]:
    """Bytes and descriptors from a unix socket, not for those whom we start.

    Else every later program would hold a pipe that came here open, and would keep a bind waiting
    that should fail for want of a keeper. Python's own recv_fds passes no flag for that.
    """
    data, fds, _flags, _address = socket.recv_fds(connection, most_bytes, most_fds)
    for fd in fds:
        os.set_inheritable(fd, False)
    return data, fds


def _child(command: Command, report: socket.socket) -> NoReturn:
    """In the child: never returns."""
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        os.umask(0o022)
        proc.set_mark(command.mark)
        resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)
        report = _place_fds(command.fds, report)
        if command.tty:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if command.mounts:
            mounts.enter(command.mounts)
        if command.bind_ip is not None:
            _filter_binds(report)
        _clean_signals()
        _execute(command)
    except Failed as failure:
        report.send(f"failed {failure.code} {failure.message}".encode()[:4000])
    except BaseException as error:
        report.send(f"failed EINVAL could not prepare {command.argv!r}: {error!r}".encode()[:4000])
    finally:
        os._exit(127)


def _place_fds(fds: Mapping[int, int], report: socket.socket) -> socket.socket:
    """Put every descriptor at its number; the report socket moves out of their way."""
    above = max((3, *(number + 1 for number in fds)))
    moved = socket.socket(fileno=fcntl.fcntl(report.fileno(), fcntl.F_DUPFD_CLOEXEC, above))
    copies = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for number, fd in fds.items()}
    for number, copy in copies.items():
        os.dup2(copy, number, inheritable=True)
        os.close(copy)
    report.detach()
    return moved


def _filter_binds(report: socket.socket) -> None:
    try:
        listener = seccomp.listen_to_binds()
    except OSError as error:
        report.send(f"unfiltered {errno.errorcode.get(error.errno or 0, 'EIO')}: {error}".encode())
        return
    socket.send_fds(report, [b"filtered"], [listener])
    os.close(listener)


def _clean_signals() -> None:
    for number in _EVERY_SIGNAL:
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _execute(command: Command) -> NoReturn:
    try:
        os.chdir(command.cwd)
    except OSError as error:
        raise _sentence(error, f"working folder {command.cwd}") from error
    program = command.argv[0]
    if "/" in program:
        candidates = [program]
    else:
        path = command.env.get("PATH", _DEFAULT_PATH)
        candidates = [f"{folder or '.'}/{program}" for folder in path.split(":")]
    worst: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for candidate in candidates:
        try:
            os.execve(candidate, command.argv, command.env)
        except (FileNotFoundError, NotADirectoryError) as error:
            if os.path.exists(candidate):
                raise _no_interpreter(candidate) from error
        except OSError as error:
            worst = error if error.errno == errno.EACCES else _raise(error, candidate)
    raise _not_found(worst, program, command)


def _raise(error: OSError, candidate: str) -> NoReturn:
    raise _sentence(error, f"program {candidate}") from error


def _not_found(error: OSError, program: str, command: Command) -> Failed:
    if error.errno == errno.EACCES:
        return _sentence(error, f'program "{program}"')
    if "/" in program:
        where = "" if program.startswith("/") else f" in {command.cwd}"
        return Failed("ENOENT", f'program "{program}" not found{where}')
    return Failed("ENOENT", f'program "{program}" not found in PATH {command.env.get("PATH", "")}')


def _no_interpreter(candidate: str) -> Failed:
    return Failed("ENOENT", f"program {candidate} exists, but the interpreter it names does not")


def _sentence(error: OSError, what: str) -> Failed:
    number = error.errno or 0
    text = {
        errno.EACCES: "not executable for this user (permission denied)",
        errno.ENOEXEC: "not a program (a script needs a first line like #!/bin/sh)",
    }.get(number, os.strerror(number))
    return Failed(errno.errorcode.get(number, "EIO"), f"{what}: {text}")
