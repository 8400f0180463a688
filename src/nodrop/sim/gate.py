"""What stands between one control plane and the world: shut when that control plane is killed.

A killed process runs no ``finally``. Its tasks here do, so whatever they still try is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from nodrop.agent.plan.probes import Target
from nodrop.agent.probers.protocol import ProbeResult
from nodrop.agent.runtime.protocol import (
    ContainerId,
    ContainerSpec,
    ContainerState,
    ExecResult,
    Exit,
    Runtime,
)
from nodrop.client.actions import Action
from nodrop.client.protocol import ALL, Page, Scope, WatchEvent
from nodrop.model.errors import expired
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey, Revision
from nodrop.proxy.protocol import Applied, InFlight, Proxy, ProxyStats, RoutingTable
from nodrop.registry.local import LocalClient
from nodrop.registry.watch import WatchStream
from nodrop.sim.prober import SimProber
from nodrop.store.layer import StoreLayer
from nodrop.store.protocol import Change, Store, StoreFailure, Write

T = TypeVar("T")


class Gate:
    """Lets effects pass while its control plane lives; a kill can be set for the n-th of them."""

    def __init__(self, kill: Callable[[str], None]) -> None:
        self._kill = kill
        self._left = 0
        self._after = False
        self.open = True

    def kill_at(self, effects: int, *, after: bool) -> None:
        """Kill at the n-th effect from now: right before it, or right after it."""
        self._left, self._after = effects, after

    def shut(self) -> None:
        self.open = False

    def check(self) -> None:
        """Nothing reaches the world from a control plane that is dead."""
        if not self.open:
            raise asyncio.CancelledError("this control plane has been killed")

    async def through(self, what: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let one effect pass, or kill."""
        dies_after = self.count(what)
        result = await effect()
        self.check()
        if dies_after:
            self.die(f"after {what}")
        return result

    def count(self, what: str) -> bool:
        """Count an effect; may kill before it. Returns whether to kill after it."""
        self.check()
        if not self._left:
            return False
        self._left -= 1
        if self._left:
            return False
        if not self._after:
            self.die(f"before {what}")
        return True

    def die(self, why: str) -> None:
        self._kill(why)
        self.check()


class GatedStore(StoreLayer):
    """The store as one control plane sees it. ``on_change`` hears of every write."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        *,
        on_change: Callable[[Change], None],
        refuses: Callable[[], bool],
    ) -> None:
        super().__init__(store)
        self._gate = gate
        self._on_change = on_change
        self._refuses = refuses

    def commit(self, write: Write) -> Change:
        what = f"writing {write.key}"
        dies_after = self._gate.count(what)
        if self._refuses():
            raise StoreFailure("the disk is full")
        change = self._store.commit(write)
        self._on_change(change)
        if dies_after:
            self._gate.die(f"after {what}")
        return change

    def close(self) -> None:
        raise AssertionError("the store outlives its control planes")


class Watch:
    """A watch whose events may be late, and which can be lost. Where none is late, all are pushed,
    as in an engine."""

    def __init__(self, stream: WatchStream, delay_s: Callable[[], float] | None) -> None:
        self._stream = stream
        self._delay_s = delay_s
        self._lost = False

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> WatchEvent:
        fresh = self._stream.idle  # what has piled up meanwhile arrives together
        try:
            event = await self._stream.__anext__()
        except StopAsyncIteration:
            raise expired(Revision(0), Revision(0)) from None
        if fresh and self._delay_s is not None and (late_s := self._delay_s()):
            await asyncio.sleep(late_s)
        if self._lost:
            raise expired(Revision(0), Revision(0))
        return event

    def push_to(self, take: Callable[[WatchEvent], None]) -> None:
        """See nodrop.client.protocol.Pushes."""
        if self._delay_s is None:
            self._stream.push_to(take)

    async def lose(self) -> None:
        """End with 410: whoever watches has to list again."""
        self._lost = True
        await self._stream.aclose()


class GatedClient:
    """The client as one control plane has it: with latencies, and watches that can be lost."""

    def __init__(
        self,
        client: LocalClient,
        gate: Gate,
        *,
        latency_s: Callable[[], float],
        watch_s: Callable[[], float] | None,
    ) -> None:
        self._client = client
        self._gate = gate
        self._latency_s = latency_s
        self._watch_s = watch_s
        self.watches: dict[Kind, Watch] = {}

    async def get(self, key: ObjectKey) -> Obj:
        await self._pause()
        return await self._client.get(key)

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        return await self._client.list(kind, scope)

    def watch(
        self, kind: Kind, scope: Scope = ALL, *, since: Revision
    ) -> AsyncIterator[WatchEvent]:
        watch = Watch(self._client.watch(kind, scope, since=since), self._watch_s)
        self.watches[kind] = watch
        return watch

    async def apply(self, action: Action) -> Obj | None:
        await self._pause()
        self._gate.check()
        result = await self._client.apply(action)
        await self._pause()
        return result

    async def _pause(self) -> None:
        if late_s := self._latency_s():
            await asyncio.sleep(late_s)


class GatedRuntime:
    """The runtime as one control plane reaches it."""

    def __init__(self, runtime: Runtime, gate: Gate) -> None:
        self._runtime = runtime
        self._gate = gate

    async def start(self, spec: ContainerSpec) -> ContainerState:
        return await self._gate.through("start", lambda: self._runtime.start(spec))

    async def wait(self, container: ContainerId) -> Exit:
        self._gate.check()
        return await self._runtime.wait(container)

    async def signal(self, container: ContainerId, signal: int) -> None:
        await self._gate.through("signal", lambda: self._runtime.signal(container, signal))

    async def exec(
        self, container: ContainerId, command: Sequence[str], *, timeout_s: float | None
    ) -> ExecResult:
        return await self._gate.through(
            "exec", lambda: self._runtime.exec(container, command, timeout_s=timeout_s)
        )

    async def note(self, container: ContainerId, key: str, value: str) -> None:
        await self._gate.through("note", lambda: self._runtime.note(container, key, value))

    async def list(self, pod_uid: str | None = None) -> list[ContainerState]:
        self._gate.check()
        return await self._runtime.list(pod_uid)

    async def remove(self, container: ContainerId) -> None:
        await self._gate.through("remove", lambda: self._runtime.remove(container))


class GatedProxy:
    """The data plane as one control plane reaches it."""

    def __init__(self, proxy: Proxy, gate: Gate) -> None:
        self._proxy = proxy
        self._gate = gate

    async def apply(self, table: RoutingTable) -> Applied:
        return await self._gate.through("apply", lambda: self._proxy.apply(table))

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        self._gate.check()
        return await self._proxy.drain(pod, timeout_s, answers_s=answers_s)

    async def cut(self, pod: str, spread_s: float) -> int:
        self._gate.check()
        return await self._proxy.cut(pod, spread_s)

    async def stats(self) -> ProxyStats:
        self._gate.check()
        return await self._proxy.stats()

    async def verify(self) -> bool:
        self._gate.check()
        return await self._proxy.verify()


class GatedProber:
    """The prober as one control plane uses it: asking has no effect worth counting."""

    def __init__(self, prober: SimProber, gate: Gate) -> None:
        self._prober = prober
        self._gate = gate

    async def probe(self, target: Target, *, timeout_s: float) -> ProbeResult:
        self._gate.check()
        return await self._prober.probe(target, timeout_s=timeout_s)


class Folders:
    """Folders that exist only by name: simulated programs write nothing."""

    def __init__(self) -> None:
        self._uids: dict[str, None] = {}

    def prepare(self, uid: str) -> str:
        self._uids[uid] = None
        return f"/pods/{uid}/tmp"

    def log_path(self, uid: str, container: str, attempt: int) -> str:
        self._uids[uid] = None
        return f"/pods/{uid}/logs/{container}/{attempt}.log"

    def last_words(self, uid: str, container: str, attempt: int) -> str:
        return ""

    async def remove(self, uid: str) -> None:
        self._uids.pop(uid, None)

    def known(self) -> list[str]:
        return list(self._uids)
