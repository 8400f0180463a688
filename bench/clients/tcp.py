"""Plain TCP: messages with their length in front; the first says who answers, an empty one bye."""

from __future__ import annotations

import asyncio

from nodrop.rehearse.connection import open_socket
from nodrop.rehearse.record import Outcome
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.stream import Ended, connecting


class Tcp:
    """An ``EchoConnection``. The server's good-bye is a clean end; any other end is a cut."""

    def __init__(
        self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], who: bytes
    ) -> None:
        self._reader, self._writer = streams
        self._who = dict(zip(("x-version", "x-pod"), who.decode().split(" "), strict=False))
        self._ended: Ended | None = None

    @staticmethod
    async def connect(target: Target, *, timeout_s: float = 10.0) -> Tcp:
        async with connecting(timeout_s):
            streams = await asyncio.open_connection(sock=await open_socket(target))
            try:
                return Tcp(streams, await _message(streams[0]))
            except asyncio.IncompleteReadError:
                streams[1].close()
                raise Ended(Outcome.CLOSED) from None
            except BaseException:
                streams[1].close()
                raise

    @property
    def ended(self) -> Ended | None:
        if self._ended is None and self._reader.at_eof():
            self._end(Ended(Outcome.CLOSED_KEEP_ALIVE))
        elif self._ended is None and self._reader.exception():
            self._end(Ended(Outcome.RESET))
        return self._ended

    def header(self, name: str) -> str:
        return self._who.get(name.lower(), "")

    async def exchange(self, payload: bytes, *, timeout_s: float) -> bytes:
        if self.ended:
            raise self.ended
        self._writer.write(len(payload).to_bytes(4, "big") + payload)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await _message(self._reader)
        except TimeoutError:
            raise self._end(Ended(Outcome.TIMEOUT)) from None
        except asyncio.IncompleteReadError as error:
            half = Outcome.HALF_ANSWER if error.partial else Outcome.CLOSED_KEEP_ALIVE
            raise self._end(Ended(half)) from None
        except OSError:
            raise self._end(Ended(Outcome.RESET)) from None
        if not answer:
            raise self._end(Ended(Outcome.OK, clean=True))
        return answer

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._end(Ended(Outcome.CLOSED))

    def _end(self, ended: Ended) -> Ended:
        self._ended = self._ended or ended
        self._writer.close()
        return self._ended


async def _message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
