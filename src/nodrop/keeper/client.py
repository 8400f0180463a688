"""KeeperClient: the Keeper protocol over the keeper's unix socket; and how a keeper is started."""

from __future__ import annotations

import asyncio
import binascii
import fcntl
import os
import socket
import struct
import sys
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nodrop.keeper.protocol import KeeperFailure, KeeperInfo, ProcessRecord, ProcessSpec
from nodrop.keeper.wire import OLDEST_PROTOCOL, PROTOCOL, Lines, decode, encode

_PROGRAM = Path(__file__).with_name("__main__.py")
_START_TIMEOUT_S = 60.0
_LOCK_RETRY_S = 0.02
_ALREADY_RUNS = 3  # daemon.ALREADY_RUNS; the daemon's modules are not for this process


class _Link(asyncio.Protocol):
    """One connection: requests in flight by number."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(KeeperFailure("the keeper hung up", "ECONNRESET"))

    def data_received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            message = decode(line)
            future = self._waiting.pop(message["id"], None)
            if future is None or future.done():
                continue
            if error := message.get("error"):
                future.set_exception(KeeperFailure(error["message"], error["code"]))
            else:
                future.set_result(message.get("result"))

    async def ask(self, op: str, args: Mapping[str, Any]) -> Any:
        assert self._transport is not None
        self._last += 1
        number = self._last
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._transport.write(encode({"id": number, "op": op, "args": dict(args)}))
        try:
            return await future
        except asyncio.CancelledError:
            if self._waiting.pop(number, None) is not None and self.alive:
                self.tell("cancel", {"request": number})
            raise

    def tell(self, op: str, args: Mapping[str, Any]) -> None:
        """Send a request whose answer nobody waits for."""
        assert self._transport is not None
        self._last += 1
        self._transport.write(encode({"id": self._last, "op": op, "args": dict(args)}))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class KeeperClient:
    """Talks to the keeper at ``socket_path``; connects when first used, and again when cut off.

    Every failure is a KeeperFailure; ``code`` is an errno name (ECONNREFUSED, ENOENT or
    ECONNRESET where the keeper itself can't be reached).
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()

    async def info(self) -> KeeperInfo:
        answer = await self._ask("info")
        return KeeperInfo(
            pid=answer["pid"],
            protocol=answer["protocol"],
            boot_id=answer["boot_id"],
            network=answer["network"],
        )

    async def listen(self, name: str, host: str, port: int) -> int:
        return int(await self._ask("listen", name=name, host=host, port=port))

    async def unlisten(self, name: str) -> None:
        await self._ask("unlisten", name=name)

    async def listening(self) -> Mapping[str, tuple[str, int]]:
        held = await self._ask("listening")
        return {name: (host, port) for name, (host, port) in held.items()}

    async def start(self, spec: ProcessSpec) -> ProcessRecord:
        fields = {name: getattr(spec, name) for name in spec.__slots__}
        for name in ("env", "fds", "labels"):
            fields[name] = dict(fields[name])
        return _record(await self._ask("start", **fields))

    async def wait(self, id: str) -> ProcessRecord:
        return _record(await self._ask("wait", id=id))

    async def signal(self, id: str, number: int, *, tree: bool = False) -> None:
        await self._ask("signal", id=id, number=int(number), tree=tree)

    async def retire(self, id: str) -> None:
        await self._ask("retire", id=id)

    async def exec(
        self, id: str, argv: Sequence[str], *, timeout_s: float | None
    ) -> tuple[int, bytes]:
        answer = await self._ask("exec", id=id, argv=list(argv), timeout_s=timeout_s)
        return answer["code"], binascii.a2b_base64(answer["output"])

    async def note(self, id: str, key: str, value: str) -> None:
        await self._ask("note", id=id, key=key, value=value)

    async def list(self) -> list[ProcessRecord]:
        return [_record(answer) for answer in await self._ask("list")]

    async def remove(self, id: str) -> None:
        await self._ask("remove", id=id)

    async def shutdown(self, *, grace_s: float = 2.0) -> None:
        """SIGTERM to every process, SIGKILL after ``grace_s``; returns when the keeper is gone.

        Its end closes the connection: by then its folder and network are free for another.
        """
        link = await self._connected()
        await link.ask("shutdown", {"grace_s": grace_s})
        await link.closed.wait()
        self.close()

    @property
    def socket_path(self) -> Path:
        return self._path

    def close(self) -> None:
        """Hang up; the keeper and its processes go on."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    async def _ask(self, op: str, **args: Any) -> Any:
        link = await self._connected()
        return await link.ask(op, args)

    async def _connected(self) -> _Link:
        async with self._connecting:
            if self._link is None or not self._link.alive:
                loop = asyncio.get_running_loop()
                try:
                    transport, link = await loop.create_unix_connection(_Link, str(self._path))
                    try:
                        check_owner(transport.get_extra_info("socket"), self._path)
                    except KeeperFailure:
                        transport.close()
                        raise
                    self._link = link
                except OSError as error:
                    raise KeeperFailure(
                        f"no keeper answers at {self._path}: {error.strerror or error}",
                        "ENOENT" if isinstance(error, FileNotFoundError) else "ECONNREFUSED",
                    ) from error
            return self._link


def check_owner(peer: socket.socket | TransportSocket, path: Path) -> None:
    """Environments with secrets go over this socket: only to a keeper of our own user."""
    _pid, uid, _gid = struct.unpack(
        "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    if uid not in (0, os.geteuid()):
        raise KeeperFailure(f"{path} belongs to a keeper of user {uid}", "EPERM")


def _record(answer: Mapping[str, Any]) -> ProcessRecord:
    fields = {name: answer[name] for name in ProcessRecord.__slots__}
    fields["signals"] = tuple((number, at) for number, at in answer["signals"])
    return ProcessRecord(**fields)


async def ensure_keeper(
    folder: Path,
    socket_path: Path,
    *,
    python: str = sys.executable,
    network: int | None = None,
) -> KeeperClient:
    """The keeper of ``folder``, started if none answers at ``socket_path``.

    ``network`` asks for 127.<network>.0.0/16 (the one used before) when one must be started.
    Raises KeeperFailure: EADDRINUSE when another engine holds that network, EPROTO when a
    keeper of another version runs.
    """
    client = KeeperClient(socket_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        async with asyncio.timeout(_START_TIMEOUT_S), _start_lock(folder):
            while not await _answers(client):
                await _launch(folder, socket_path, python=python, network=network)
            await _check_version(client)
    except TimeoutError as error:
        client.close()
        message = f"the keeper in {folder} did not start within {_START_TIMEOUT_S:.0f} s"
        raise KeeperFailure(message, "ETIMEDOUT") from error
    except BaseException:
        client.close()
        raise
    return client


async def _answers(client: KeeperClient) -> bool:
    try:
        await client.info()
    except KeeperFailure:
        return False
    return True


async def _check_version(client: KeeperClient) -> None:
    if trouble := protocol_trouble(await client.info()):
        raise KeeperFailure(trouble, "EPROTO")


def protocol_trouble(info: KeeperInfo) -> str:
    """Why this nodrop can't work with a running keeper, and what that means; else nothing."""
    if OLDEST_PROTOCOL <= info.protocol <= PROTOCOL:
        return ""
    age, needs = ("old", OLDEST_PROTOCOL) if info.protocol < OLDEST_PROTOCOL else ("new", PROTOCOL)
    return (
        f"the keeper (pid {info.pid}) is too {age} for this nodrop: it speaks protocol "
        f"{info.protocol}, needed is {needs}. It is the parent of all pods and can't be replaced "
        "while they run: go on with the nodrop that started it, or, when the pods may end, run "
        "nodrop down with that one and nodrop up with this one"
    )


@asynccontextmanager
async def _start_lock(folder: Path) -> AsyncIterator[None]:
    """Only one at a time starts a keeper. A file lock can't be awaited: ask again until free."""
    fd = os.open(folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _try_lock(fd):  # noqa: ASYNC110 - no event tells that a file lock is free
            await asyncio.sleep(_LOCK_RETRY_S)
        yield
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _launch(folder: Path, socket_path: Path, *, python: str, network: int | None) -> None:
    """Run the keeper's program; it returns when its daemon answers, or says why it can't.

    Where another keeper holds the folder this returns without one of our own: ask again.
    """
    argv = [python, "-I", "-S", str(_PROGRAM), str(folder.absolute()), str(socket_path.absolute())]
    if network is not None:
        argv.append(str(network))
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    )
    _out, said = await process.communicate()
    if process.returncode == _ALREADY_RUNS:
        await asyncio.sleep(_LOCK_RETRY_S)  # it is about to answer, or to end
    elif process.returncode != 0:
        code, _, message = said.decode(errors="replace").strip().partition(" ")
        if not (code.isupper() and code.isalnum()):
            code, message = "EIO", f"the keeper could not start: {said.decode(errors='replace')}"
        raise KeeperFailure(message, code)
