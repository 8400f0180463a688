"""Parts of the engine with a watch beside them: proxy, traffic and store as before, but timed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from nodrop.client.traffic import Traffic, Withdrawn
from nodrop.metrics.directory import Directory
from nodrop.metrics.instruments import Instruments
from nodrop.model.catalogue import Catalogue
from nodrop.model.kinds import Kind
from nodrop.model.meta import ObjectKey, Revision, Uid
from nodrop.proxy.protocol import Applied, InFlight, Proxy, ProxyFailure, ProxyStats, RoutingTable
from nodrop.store.protocol import Change, Store, Stored, Write


class ObservedProxy:
    """A Proxy whose applies are counted."""

    def __init__(self, proxy: Proxy, instruments: Instruments) -> None:
        self._proxy, self._instruments = proxy, instruments

    async def apply(self, table: RoutingTable) -> Applied:
        began_s = time.perf_counter()
        try:
            applied = await self._proxy.apply(table)
        except ProxyFailure:
            self._instruments.proxy_applies.labels("failure").inc()
            raise
        self._instruments.proxy_applies.labels("success").inc()
        self._instruments.proxy_apply_duration.observe(time.perf_counter() - began_s)
        self._instruments.proxy_reloads.inc(applied.reloads)
        return applied

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        return await self._proxy.drain(pod, timeout_s, answers_s=answers_s)

    async def cut(self, pod: str, spread_s: float) -> int:
        return await self._proxy.cut(pod, spread_s)

    async def stats(self) -> ProxyStats:
        return await self._proxy.stats()

    async def verify(self) -> bool:
        return await self._proxy.verify()


class ObservedTraffic:
    """A Traffic whose withdrawals are counted."""

    def __init__(self, traffic: Traffic, instruments: Instruments, directory: Directory) -> None:
        self._traffic, self._instruments, self._directory = traffic, instruments, directory

    async def withdraw(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        withdrawn = await self._traffic.withdraw(
            pod, address, budget_s=budget_s, answers_s=answers_s
        )
        self._instruments.withdrew(self._directory.name_of(pod), withdrawn)
        return withdrawn

    async def pause(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        return await self._traffic.pause(pod, address, budget_s=budget_s, answers_s=answers_s)

    async def cut(self, pod: Uid, *, spread_s: float) -> int:
        closed = await self._traffic.cut(pod, spread_s=spread_s)
        self._instruments.cut(self._directory.name_of(pod), closed)
        return closed

    async def forget(self, pod: Uid) -> None:
        await self._traffic.forget(pod)


class ObservedStore:
    """A Store whose commits are timed."""

    def __init__(self, store: Store, instruments: Instruments) -> None:
        self._store, self._instruments = store, instruments

    @property
    def revision(self) -> Revision:
        return self._store.revision

    @property
    def compacted(self) -> Revision:
        return self._store.compacted

    @property
    def kinds(self) -> Catalogue:
        return self._store.kinds

    def get(self, key: ObjectKey) -> Stored | None:
        return self._store.get(key)

    def list(
        self, kind: Kind, *, namespace: str | None = None, at: Revision | None = None
    ) -> Sequence[Stored]:
        return self._store.list(kind, namespace=namespace, at=at)

    def commit(self, write: Write) -> Change:
        began_s = time.perf_counter()
        try:
            return self._store.commit(write)
        finally:
            self._instruments.commit_duration.observe(time.perf_counter() - began_s)

    def after(self, since: Revision, kind: Kind | None = None) -> Sequence[Change]:
        return self._store.after(since, kind)

    def compact(self, before: Revision) -> None:
        self._store.compact(before)

    def close(self) -> None:
        self._store.close()
