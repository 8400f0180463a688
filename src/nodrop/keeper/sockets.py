"""Sockets the keeper holds: listeners that outlive those who serve them, and the network claim."""

from __future__ import annotations

import binascii
import errno
import os
import socket

from nodrop.keeper.failure import Failed, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_BACKLOG = 4096
_NETWORKS = range(16, 251)


class HeldSockets:
    """Listening sockets by name. One file description each: it never loses a connection."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[socket.socket, str, int]] = {}

    def listen(self, name: str, host: str, port: int) -> int:
        if name in self._held:
            _socket, held_host, held_port = self._held[name]
            if host == held_host and port in (0, held_port):
                return held_port
            where = f"{held_host}:{held_port}"
            raise Failed("EEXIST", f'"{name}" already listens on {where}, not on {host}:{port}')
        listener = _listen(host, port)
        bound = int(listener.getsockname()[1])
        self._held[name] = (listener, host, bound)
        return bound

    def unlisten(self, name: str) -> None:
        held = self._held.pop(name, None)
        if held is not None:
            held[0].close()

    def listening(self) -> dict[str, tuple[str, int]]:
        return {name: (host, port) for name, (_socket, host, port) in self._held.items()}

    def descriptors(self, fds: Mapping[str, int]) -> dict[int, int]:
        """Number in the new process → our descriptor, for names that are held."""
        for name in fds:
            if name not in self._held:
                raise Failed("ENOENT", f'no socket "{name}" is held')
        return {number: self._held[name][0].fileno() for name, number in fds.items()}

    def close(self) -> None:
        for name in tuple(self._held):
            self.unlisten(name)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise failed(f"can't listen on {host}:{port}", error) from error
    except (TypeError, OverflowError) as error:
        listener.close()
        raise Failed("EINVAL", f"can't listen on {host}:{port}: {error}") from error
    return listener


def claim_network(folder: str, wanted: int | None) -> tuple[int, socket.socket]:
    """Take 127.X.0.0/16 against other engines of this network namespace; returns X and the claim.

    The claim is an abstract unix socket: the kernel lets one process hold its name and frees it
    when that process ends, however it ends. The search begins at a hash of the folder, so that
    an engine finds its own network again.
    """
    if wanted is not None:
        choices = [wanted]
    else:
        first = binascii.crc32(os.fsencode(folder)) % len(_NETWORKS)
        choices = [*_NETWORKS[first:], *_NETWORKS[:first]]
    for octet in choices:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0nodrop/127.{octet}")
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise failed(f"can't claim the network 127.{octet}.0.0/16", error) from error
        else:
            return octet, claim
    if wanted is not None:
        raise Failed("EADDRINUSE", f"the network 127.{wanted}.0.0/16 is held by another engine")
    raise Failed("EADDRINUSE", "every network 127.16…250.0.0/16 is held by another engine")
