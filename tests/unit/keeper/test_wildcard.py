"""Where binds go: only a wildcard with a port moves to the pod's own address."""

from __future__ import annotations

import socket
import struct

import pytest

from nodrop.keeper.wildcard import moved

_IP = "127.20.0.7"


def _v4(host: str, port: int, family: int = socket.AF_INET) -> bytes:
    return struct.pack("=H", family) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)


def _v6(host: str, port: int) -> bytes:
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0)
    return head + socket.inet_pton(socket.AF_INET6, host) + bytes(4)


@pytest.mark.parametrize(
    ("asked", "v6_only", "target"),
    [
        (_v4("0.0.0.0", 8080), False, _v4(_IP, 8080)),
        (_v4("0.0.0.0", 8080, socket.AF_UNSPEC), False, _v4(_IP, 8080)),
        (_v6("::", 8080), False, _v6(f"::ffff:{_IP}", 8080)),
        (_v6("::ffff:0.0.0.0", 8080), False, _v6(f"::ffff:{_IP}", 8080)),
        (_v6("::", 8080), True, _v6("::1", 0)),
    ],
)
def test_wildcards_move(asked: bytes, v6_only: bool, target: bytes) -> None:
    assert moved(asked, _IP, v6_only) == target


@pytest.mark.parametrize(
    "asked",
    [
        _v4("0.0.0.0", 0),
        _v4("127.0.0.1", 8080),
        _v4("10.1.2.3", 8080),
        _v6("::", 0),
        _v6("::1", 8080),
        _v6("fe80::1", 8080),
        struct.pack("=H", socket.AF_UNIX) + b"/tmp/some.socket\0",
        struct.pack("=H", socket.AF_INET),
        _v6("::", 8080)[:20],
        b"",
    ],
)
def test_all_else_stays(asked: bytes) -> None:
    assert moved(asked, _IP, False) is None
    assert moved(asked, _IP, True) is None
