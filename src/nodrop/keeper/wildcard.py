"""Where a bind goes: wildcard addresses move to the pod's own address, all else stays.

0.0.0.0 with a port → the pod's address. [::] with a port → ::ffff:<the pod's address>, or, where
the socket is IPV6_V6ONLY, [::1] at a free port: the pod has no IPv6 address, and an app that
binds both families must not fail at the second. Port 0 and every other address stay as asked.

Limits: io_uring's bind, 32-bit programs and programs that refuse to be traced (no dumpable
memory) keep the wildcard; a signal handler without SA_RESTART that runs in the 0.1 ms before
the keeper picks a bind up makes it fail with EINTR; binds fail with ENOSYS without a keeper.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from nodrop.keeper import seccomp

_ANY4 = bytes(4)
_ANY6 = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"
_LONGEST_ADDRESS_BYTES = 128


def moved(address: bytes, bind_ip: str, v6_only: bool) -> bytes | None:
    """The sockaddr to bind instead of ``address``; None when it is to stay as it is."""
    if len(address) < 16:
        return None
    family, port = struct.unpack_from("=H", address)[0], address[2:4]
    if port == b"\0\0":
        return None
    if family in (socket.AF_INET, socket.AF_UNSPEC) and address[4:8] == _ANY4:
        return struct.pack("=H", socket.AF_INET) + port + socket.inet_aton(bind_ip) + bytes(8)
    if family == socket.AF_INET6 and address[8:24] in (_ANY6, _MAPPED + _ANY4):
        return _moved6(port, bind_ip, v6_only)
    return None


def _moved6(port: bytes, bind_ip: str, v6_only: bool) -> bytes:
    head = struct.pack("=H", socket.AF_INET6)
    if v6_only:
        return head + bytes(2) + bytes(4) + bytes(15) + b"\x01" + bytes(4)
    return head + port + bytes(4) + _MAPPED + socket.inet_aton(bind_ip) + bytes(4)


def answer_bind(listener: int, bind_ip: str) -> str | None:
    """Answer one waiting bind; returns a complaint when it could not be moved."""
    notice = seccomp.receive(listener)
    if notice is None:
        return None
    try:
        outcome, complaint = _carry_out(listener, notice, bind_ip), None
    except Exception as error:  # a bind without an answer would hang its caller
        outcome, complaint = None, f"bind of thread {notice.tid} left as asked: {error!r}"
    seccomp.answer(listener, notice, outcome)
    return complaint


def _carry_out(listener: int, notice: seccomp.Notice, bind_ip: str) -> int | None:
    """Bind on the caller's behalf: 0 or errno; None when the kernel is to do it as asked."""
    address = _read_address(notice)
    if moved(address, bind_ip, False) is None or not seccomp.still_waits(listener, notice):
        return None
    fd = seccomp.fetch_fd(_process_of(notice.tid), notice.fd)
    with socket.socket(fileno=fd) as copy:
        if not seccomp.still_waits(listener, notice):
            return None
        v6_only = copy.family == socket.AF_INET6 and bool(
            copy.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        )
        target = moved(address, bind_ip, v6_only)
        if target is None:
            return None
        error = seccomp.bind(copy.fileno(), target)
        return 0 if error == errno.EINVAL and _bound_before(copy, target) else error


def _bound_before(copy: socket.socket, target: bytes) -> bool:
    """True when a signal interrupted the caller after we had bound: the second try succeeds."""
    if struct.unpack_from("=H", target)[0] != copy.family:
        return False
    name = copy.getsockname()
    port = struct.unpack("!H", target[2:4])[0]
    if copy.family == socket.AF_INET:
        return bool(name[:2] == (socket.inet_ntoa(target[4:8]), port))
    host = socket.inet_ntop(socket.AF_INET6, target[8:24])
    return bool(name[0] == host and (name[1] == port or port == 0))


def _read_address(notice: seccomp.Notice) -> bytes:
    length = min(notice.length, _LONGEST_ADDRESS_BYTES)
    memory = os.open(f"/proc/{notice.tid}/mem", os.O_RDONLY)
    try:
        return os.pread(memory, length, notice.address)
    finally:
        os.close(memory)


def _process_of(tid: int) -> int:
    with open(f"/proc/{tid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "no Tgid")
