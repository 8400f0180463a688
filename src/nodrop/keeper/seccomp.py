"""Seccomp user notification for bind(2): the filter, and the calls that ctypes must make.

Source: seccomp_unotify(2), seccomp(2), pidfd_getfd(2), linux/seccomp.h, linux/audit.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER = 1 << 3
#: Linux 5.19: once we hold a notification only a fatal signal interrupts the bind. Without it a
#: signal (Go sends many) makes the program bind twice; ``wildcard`` copes with that too.
_FLAG_WAIT_KILLABLE = 1 << 5
_NR_PIDFD_GETFD = 438

_RECV = 0xC0502100
_SEND = 0xC0182101
_ID_VALID = 0x40082102
_CONTINUE = 1
_NOTICE = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")

#: machine → (AUDIT_ARCH, number of seccomp, numbers of bind; x32 has one of its own)
_MACHINES = {
    "x86_64": (0xC000003E, 317, (49, 0x40000000 | 49)),
    "aarch64": (0xC00000B7, 277, (200,)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class Notice:
    """A bind that waits for our answer. ``tid`` is the thread that called."""

    __slots__ = ("address", "fd", "id", "length", "tid")

    def __init__(self, raw: bytes) -> None:
        fields = _NOTICE.unpack(raw)
        self.id: int = fields[0]
        self.tid: int = fields[1]
        self.fd: int = fields[6] & 0xFFFFFFFF
        self.address: int = fields[7]
        self.length: int = fields[8] & 0xFFFFFFFF


def bind_filter(audit_arch: int, numbers: tuple[int, ...]) -> bytes:
    """BPF: notify on bind of the native architecture, allow everything else."""

    def op(code: int, jump_true: int, jump_false: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, jump_true, jump_false, value)

    load, equal, answer = 0x20, 0x15, 0x06
    count = len(numbers)
    program = op(load, 0, 0, 4) + op(equal, 0, count + 1, audit_arch) + op(load, 0, 0, 0)
    for index, number in enumerate(numbers):
        program += op(equal, count - index, 0, number)
    return program + op(answer, 0, 0, 0x7FFF0000) + op(answer, 0, 0, 0x7FC00000)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def become_subreaper() -> None:
    _checked(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def listen_to_binds() -> int:
    """In the child, before exec: install the filter; returns the listener (close-on-exec)."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    arch, number, binds = _MACHINES[machine]
    code = bind_filter(arch, binds)
    program = _Program(len(code) // 8, code)
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    try:
        return _install(number, _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE, program)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return _install(number, _FLAG_NEW_LISTENER, program)


def _install(number: int, flags: int, program: _Program) -> int:
    arguments = (ctypes.c_long(_SET_MODE_FILTER), ctypes.c_long(flags), ctypes.byref(program))
    return _checked(_LIBC.syscall(ctypes.c_long(number), *arguments))


def receive(listener: int) -> Notice | None:
    """The next waiting bind; None when there is none any more (receiving would block then)."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    ready = poll.poll(0)
    if not ready or not ready[0][1] & select.POLLIN:
        return None
    buffer = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener, _RECV, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
            return None
        raise
    return Notice(bytes(buffer))


def still_waits(listener: int, notice: Notice) -> bool:
    """False when the caller has died: its pid may already mean another process."""
    try:
        fcntl.ioctl(listener, _ID_VALID, struct.pack("=Q", notice.id))
    except OSError:
        return False
    return True


def answer(listener: int, notice: Notice, error: int | None) -> None:
    """Let the call return 0 or ``-error``; None lets the kernel do it as asked."""
    flags = _CONTINUE if error is None else 0
    try:
        fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(notice.id, 0, -(error or 0), flags)))
    except OSError as problem:
        if problem.errno not in (errno.ENOENT, errno.EINPROGRESS):
            raise


def fetch_fd(pid: int, fd: int) -> int:
    """A copy of another process's file descriptor."""
    pidfd = os.pidfd_open(pid)
    try:
        arguments = (ctypes.c_long(pidfd), ctypes.c_long(fd), ctypes.c_long(0))
        return _checked(_LIBC.syscall(ctypes.c_long(_NR_PIDFD_GETFD), *arguments))
    finally:
        os.close(pidfd)


def bind(fd: int, address: bytes) -> int:
    """bind(2) with a raw sockaddr; returns 0 or the errno."""
    return 0 if _LIBC.bind(fd, address, len(address)) == 0 else ctypes.get_errno()
