"""A Proxy in front of another one: everything passes, unless a subclass does more about it."""

from __future__ import annotations

from nodrop.proxy.protocol import Applied, InFlight, Proxy, ProxyStats, RoutingTable


class ProxyLayer:
    """See proxy.protocol.Proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def apply(self, table: RoutingTable) -> Applied:
        return await self._proxy.apply(table)

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        return await self._proxy.drain(pod, timeout_s, answers_s=answers_s)

    async def cut(self, pod: str, spread_s: float) -> int:
        return await self._proxy.cut(pod, spread_s)

    async def stats(self) -> ProxyStats:
        return await self._proxy.stats()

    async def verify(self) -> bool:
        return await self._proxy.verify()
