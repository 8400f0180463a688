"""gRPC echo: unary calls, and server streaming whose pieces must add up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import grpc

from nodrop.rehearse.record import Outcome
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.stream import Ended

Call = Literal["Echo", "Split"]
_OUTCOMES = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Outcome.TIMEOUT,
    grpc.StatusCode.UNIMPLEMENTED: Outcome.STATUS_4XX,
}
# No retries by the client: only what HTTP/2 says was never processed may be sent again, and that
# gRPC does by itself (transparent retries).
_OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))


class Rpc:
    """An ``EchoConnection`` on a channel of its own. The channel reconnects by itself."""

    def __init__(self, channel: Any, call: Call) -> None:
        self._channel = channel
        self._call = call
        make: Callable[[str], Any] = channel.unary_unary if call == "Echo" else channel.unary_stream
        self._method = make(f"/soak.Soak/{call}")
        self._who: dict[str, str] = {}
        self.ended: Ended | None = None

    @staticmethod
    async def connect(target: Target, call: Call) -> Rpc:
        options = (*_OPTIONS, ("grpc.default_authority", target.host))
        address = f"{target.address}:{target.port}"
        return Rpc(grpc.aio.insecure_channel(address, options=options), call)

    def header(self, name: str) -> str:
        return self._who.get(name.lower(), "")

    async def exchange(self, payload: bytes, *, timeout_s: float) -> bytes:
        if self.ended:
            raise self.ended
        call = self._method(payload, timeout=timeout_s)
        try:
            self._who = dict(await call.initial_metadata())
            return await call if self._call == "Echo" else await _joined(call)
        except grpc.aio.AioRpcError as error:
            outcome = _OUTCOMES.get(error.code(), Outcome.STATUS_5XX)
            raise Ended(outcome, why=f"{error.code().name}: {error.details()}") from None

    async def close(self) -> None:
        self.ended = Ended(Outcome.CLOSED)
        await self._channel.close()

    def abort(self) -> None:
        """A call that took too long has its own deadline; the channel goes on."""


async def _joined(call: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in call])
