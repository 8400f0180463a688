"""The keeper's unix socket: connections, requests, answers."""

from __future__ import annotations

import binascii
import os
import socket
import struct
import sys

from nodrop.keeper import proc
from nodrop.keeper.failure import Failed, failed
from nodrop.keeper.loop import READ, WRITE, Loop, complain
from nodrop.keeper.spawn import receive_fds
from nodrop.keeper.wire import PROTOCOL, Lines, LineTooLong, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nodrop.keeper.processes import Processes
    from nodrop.keeper.sockets import HeldSockets

_READ_BYTES = 256 * 1024
_UNREAD_BYTES = 16 * 1024 * 1024  # a client that leaves more than this unread is dropped
_SHUTDOWN_GRACE_S = 2.0
_MOST_FDS = 3  # standard input, output and error of a session
_OUTPUTS = ("stdout", "stderr")  # the descriptors of one who attaches


class Later:
    """An answer that comes later; ``cut`` gives it up."""

    __slots__ = ("cut",)

    def __init__(self, cut: Callable[[], None]) -> None:
        self.cut = cut


HANDED = object()
"""The answer has been given together with a descriptor."""


class Connection:
    """One client. Everything it waits for ends with it."""

    def __init__(self, server: Server, client: socket.socket) -> None:
        self._server = server
        self._socket = client
        self._lines = Lines()
        self._unsent = bytearray()
        self._pending: dict[int, Later] = {}
        self._closed = False
        self._fds: list[int] = []
        client.setblocking(False)
        server.loop.watch(client.fileno(), READ, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
            if not self._closed and events & ~WRITE:
                self._read()
        except (OSError, LineTooLong, ValueError) as error:
            if not isinstance(error, ConnectionError):
                complain(f"a client was dropped: {error}")
            self.close()

    def _read(self) -> None:
        try:
            data, fds = receive_fds(self._socket, _READ_BYTES, _MOST_FDS)
        except BlockingIOError:
            return
        self._fds += fds
        if not data:
            self.close()
            return
        for line in self._lines.feed(data):
            if not self._closed:
                self._request(decode(line))

    def _request(self, request: dict[str, Any]) -> None:
        id = request["id"] if isinstance(request.get("id"), int) else -1
        try:
            result = self._server.perform(self, id, request)
        except Failed as failure:
            self.refuse(id, failure.code, failure.message)
        except (KeyError, TypeError, ValueError) as error:
            self.refuse(id, "EINVAL", f"bad request {request.get('op')!r}: {error!r}")
        except Exception as error:
            sys.excepthook(*sys.exc_info())
            code = failed("", error).code if isinstance(error, OSError) else "internal"
            self.refuse(id, code, f"{request.get('op')} failed in the keeper: {error!r}")
        else:
            if isinstance(result, Later):
                self._pending[id] = result
            elif result is not HANDED:
                self.answer(id, result)

    def take_fds(self) -> list[int]:
        """The descriptors that the client has sent since the last call; ours to close now."""
        taken, self._fds = self._fds, []
        return taken

    def answer(self, id: int, result: object) -> None:
        self._send({"id": id, "result": result})

    def hand(self, id: int, fd: int) -> None:
        """Answer with a copy of a descriptor, which goes with the first byte of the answer."""
        answer = encode({"id": id, "result": None})
        if self._unsent:
            raise Failed("EBUSY", "a descriptor is handed over a connection of its own")
        sent = socket.send_fds(self._socket, [answer], [fd])
        self._unsent += answer[sent:]
        self._flush()

    def refuse(self, id: int, code: str, message: str) -> None:
        self._send({"id": id, "error": {"code": code, "message": message}})

    def cancel(self, id: int) -> None:
        later = self._pending.pop(id, None)
        if later is not None:
            later.cut()

    def _send(self, message: dict[str, Any]) -> None:
        self._pending.pop(message["id"], None)
        if self._closed:
            return
        self._unsent += encode(message)
        try:
            self._flush()
        except OSError:
            self.close()
            return
        if len(self._unsent) > _UNREAD_BYTES:
            complain("a client that does not read its answers was dropped")
            self.close()

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                break
            del self._unsent[:sent]
        self._server.loop.change(self._socket.fileno(), READ | WRITE if self._unsent else READ)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._server.loop.unwatch(self._socket.fileno())
        self._socket.close()
        _close_all(self.take_fds())
        pending, self._pending = self._pending, {}
        for later in pending.values():
            later.cut()


class Server:
    """Accepts clients of our own user and does what they ask."""

    def __init__(
        self, *, loop: Loop, processes: Processes, sockets: HeldSockets, network: int
    ) -> None:
        self.loop = loop
        self._processes = processes
        self._sockets = sockets
        self._network = network

    def serve(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.loop.watch(listener.fileno(), READ, lambda _events: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _address = listener.accept()
        except BlockingIOError:
            return
        raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = struct.unpack("3i", raw)[1]
        if uid not in (0, os.geteuid()):
            complain(f"a client of user {uid} was refused")
            client.close()
            return
        Connection(self, client)

    def perform(self, connection: Connection, id: int, request: dict[str, Any]) -> object:
        op, args = request["op"], request.get("args") or {}
        processes, sockets = self._processes, self._sockets
        match op:
            case "info":
                return self._info()
            case "listen":
                return sockets.listen(args["name"], args["host"], args["port"])
            case "unlisten":
                sockets.unlisten(args["name"])
            case "listening":
                return sockets.listening()
            case "start":
                return processes.start(args)
            case "wait":
                return self._wait(connection, id, args["id"])
            case "signal":
                processes.signal(args["id"], args["number"], bool(args.get("tree")))
            case "retire":
                processes.retire(args["id"])
            case "exec":
                return self._exec(connection, id, args)
            case "session":
                return self._session(connection, id, args)
            case "input":
                connection.hand(id, processes.console(args["id"]).input)
                return HANDED
            case "end_input":
                processes.console(args["id"]).end_input()
            case "attach":
                return self._attach(connection, id, args)
            case "note":
                processes.note(args["id"], str(args["key"]), str(args["value"]))
            case "list":
                return processes.views()
            case "remove":
                processes.remove(args["id"])
            case "cancel":
                connection.cancel(args["request"])
            case "shutdown":
                return self._shutdown(connection, id, args.get("grace_s", _SHUTDOWN_GRACE_S))
            case _:
                raise Failed("ENOSYS", f"this keeper knows no {op!r}")
        return None

    def _info(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "protocol": PROTOCOL,
            "boot_id": proc.boot_id(),
            "network": self._network,
        }

    def _wait(self, connection: Connection, id: int, process: str) -> Later:
        return Later(self._processes.wait(process, lambda view: connection.answer(id, view)))

    def _exec(self, connection: Connection, id: int, args: dict[str, Any]) -> Later:
        def answer(code: int, output: bytes, timed_out: bool) -> None:
            text = binascii.b2a_base64(output, newline=False).decode()
            if timed_out:
                message = f"{args['argv'][0]} took longer than {args['timeout_s']} s"
                connection.refuse(id, "ETIMEDOUT", message)
            else:
                connection.answer(id, {"code": code, "output": text})

        cut = self._processes.exec(args["id"], args["argv"], args.get("timeout_s"), answer)
        return Later(cut)

    def _session(self, connection: Connection, id: int, args: dict[str, Any]) -> Later:
        """A command whose input and output are the client's own pipes or terminal."""
        fds = connection.take_fds()
        try:
            if len(fds) != _MOST_FDS:
                raise Failed("EINVAL", f"a session needs {_MOST_FDS} descriptors, not {len(fds)}")
            cut = self._processes.session(
                args["id"],
                args["argv"],
                dict(enumerate(fds)),
                lambda code: connection.answer(id, {"code": code}),
                tty=bool(args["tty"]),
                env=dict(args["env"]),
            )
        finally:
            _close_all(fds)
        return Later(cut)

    def _attach(self, connection: Connection, id: int, args: dict[str, Any]) -> Later:
        """Copy what a container says to the client's own pipes, standard output and error."""
        fds = connection.take_fds()

        def answer(why: str) -> None:
            if why:
                connection.refuse(id, "EPIPE", why)
            else:
                connection.answer(id, None)

        try:
            if len(fds) != len(_OUTPUTS):
                raise Failed("EINVAL", f"to attach needs {len(_OUTPUTS)} descriptors")
            console = self._processes.console(args["id"])
        except BaseException:
            _close_all(fds)
            raise
        outputs = dict(zip(_OUTPUTS, fds, strict=True))
        return Later(console.attach(outputs, stdin=bool(args["stdin"]), answer=answer))

    def _shutdown(self, connection: Connection, id: int, grace_s: float) -> Later:
        def done() -> None:
            self._sockets.close()
            connection.answer(id, None)
            self.loop.stop()

        self._processes.shutdown(grace_s, done)
        return Later(lambda: None)


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
