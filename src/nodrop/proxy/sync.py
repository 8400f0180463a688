"""The shell around the routing table: cache → plan_table → Proxy.apply; and Traffic for the agent.

One apply is in flight at a time; changes during it make the next one. Every wish for a new table
gets a number, and whoever needs the proxy's word waits until that number is acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from nodrop.client.cache import Cache
from nodrop.client.protocol import Client, WatchEvent
from nodrop.client.traffic import Withdrawn
from nodrop.clock import Clock
from nodrop.events import Reason
from nodrop.model.kinds import ENDPOINTSLICE, INGRESS, INGRESSCLASS, SECRET, SERVICE, Kind
from nodrop.model.meta import Obj, Uid
from nodrop.proxy.external import plan_externals, plan_troubles
from nodrop.proxy.late import LateRemovals
from nodrop.proxy.names import Lookup, Names, no_lookup
from nodrop.proxy.pools import (
    Endpoint,
    plan_endpoints,
    plan_refusals,
    pods_in_slices,
    pools_by_pod,
)
from nodrop.proxy.protocol import (
    Certificate,
    InFlight,
    Listener,
    Proxy,
    ProxyFailure,
    RoutingTable,
    ServicePort,
)
from nodrop.proxy.reports import Reports
from nodrop.proxy.routes import plan_routes
from nodrop.proxy.routing import diff_tables, table_of
from nodrop.proxy.sources import Sources
from nodrop.proxy.withdrawal import hold_longer_s

log = logging.getLogger(__name__)

#: What the cache must hold for the proxy.
KINDS: tuple[Kind, ...] = (SERVICE, ENDPOINTSLICE, INGRESS, INGRESSCLASS, SECRET)

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.05, 2.0
_VERIFY_S = 10.0
#: How much longer than asked for a drain may take to be answered.
_DRAIN_ANSWER_S = 0.5
#: Requests to a pool that has just lost its last pod are held so long: the next pod of a
#: Recreate rollout exists only after the last one is gone.
_SERVED_S = 2.0
#: How long the first table waits for names.
_FIRST_NAMES_S = 2.0


class ProxySync:
    """Keeps the data plane at the table of the present objects; withdraws pods in order.

    ``client`` records Events about what can't be served, with ``clock`` about certificates that
    expire; without it nothing is recorded. ``node_addresses`` are where NodePorts are listened on,
    ``ingress_ports`` where the Ingress is; ``lookup`` finds the hosts of ExternalNames. ``recall``
    tells which pods an engine before this one has withdrawn for good: the first table waits for
    it; ``recall_certificates`` which certificates it served, for Secrets that broke. ``late`` is
    for rehearsals in cluster-faithful mode only: the data plane learns of removals late.
    """

    def __init__(
        self,
        cache: Cache,
        proxy: Proxy,
        *,
        client: Client | None = None,
        clock: Clock | None = None,
        node_addresses: Sequence[str] = ("127.0.0.1",),
        ingress_ports: Collection[int] = (),
        lookup: Lookup = no_lookup,
        recall: Callable[[], Awaitable[Collection[str]]] | None = None,
        recall_certificates: Callable[[], tuple[Certificate, ...]] | None = None,
        late: LateRemovals | None = None,
    ) -> None:
        self._cache = cache
        self._proxy = proxy
        self._node_addresses = tuple(node_addresses)
        self._ingress_ports = frozenset(ingress_ports)
        self._names = Names(lookup, changed=self._poke)
        self._recall = recall
        self._recall_certificates = recall_certificates
        self._late = late
        self._terminating: set[str] = set()
        self._barred: set[str] = set()
        self._forgotten: set[str] = set()
        self._wanted = 0
        self._acknowledged = 0
        self._wake = asyncio.Event()
        self._moved = asyncio.Condition()
        self._applied: RoutingTable | None = None
        self._unheld: Mapping[Listener, str] = {}
        self._unserved: Mapping[ServicePort, str] = {}
        self._uncertified: Mapping[str, str] = {}
        self._certificates: tuple[Certificate, ...] = ()
        self._authorities: Mapping[str, str] = {}
        self._reports = Reports(client, self._node_addresses, clock)
        self._served_until: dict[ServicePort, float] = {}
        self._pools_of: Mapping[str, Sequence[Sequence[Endpoint]]] | None = None
        cache.subscribe(self._on_change)

    @property
    def table(self) -> RoutingTable | None:
        """The table that the proxy has acknowledged last."""
        return self._applied

    @property
    def refused(self) -> Mapping[Listener, str]:
        """Listeners that are not served, and why."""
        return self._reports.refused

    async def run(self) -> None:
        """Follow the cache until cancelled. The first table waits until the cache is complete."""
        if self._recall is not None:
            withdrawn = await self._recall()
            self._barred.update(withdrawn)
            self._terminating.update(withdrawn)
        if self._recall_certificates is not None:
            self._certificates = self._recall_certificates()
        await self._cache.synced()
        self._poke()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._names.run(), name="names")
            await self._first_names()
            group.create_task(self._follow(), name="proxy sync")
            group.create_task(self._verify(), name="proxy verification")

    async def _first_names(self) -> None:
        """The first table has the hosts that an engine before us served."""
        sources = self._sources()
        routed = table_of(sources, plan_endpoints(sources)).routed()
        self._names.follow(plan_externals(sources.services, routed).hosts())
        await self._names.settled(_FIRST_NAMES_S)

    def apply_anew(self) -> None:
        """Have the table applied again, though it is the same: the proxy itself is to change."""
        self._applied = None
        self._poke()

    async def caught_up(self) -> None:
        """Return once the proxy has acknowledged a table of everything seen until now."""
        await self._acknowledgement(self._poke())

    # Traffic: what the agent asks for.

    async def withdraw(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        """See nodrop.client.traffic.Traffic."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        self._terminating.add(pod)
        self._poke()
        await self._hold(pod, start, budget_s)
        self._barred.add(pod)
        await self._acknowledgement(self._poke())  # however long that takes: see Traffic
        left_s = max(0.0, start + budget_s - loop.time())
        return _withdrawn(await self._drain(pod, left_s, answers_s), loop.time() - start)

    async def pause(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        """See nodrop.client.traffic.Traffic. Nothing is asked for: the slice says it."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout_at(start + budget_s):
                await self.caught_up()
                async with self._moved:
                    await self._moved.wait_for(lambda: self._is_out(pod))
        except TimeoutError:
            log.warning("pod %s (%s) is still routed to after %g s", pod, address, budget_s)
            return Withdrawn(in_flight=None, took_s=loop.time() - start)
        left_s = max(0.0, start + budget_s - loop.time())
        return _withdrawn(await self._drain(pod, left_s, answers_s), loop.time() - start)

    async def cut(self, pod: Uid, *, spread_s: float) -> int:
        """See nodrop.client.traffic.Traffic."""
        try:
            return await self._proxy.cut(pod, spread_s)
        except ProxyFailure as error:
            log.error("the streams of pod %s were not closed: %s", pod, error)
            return 0

    def _is_out(self, pod: str) -> bool:
        return self._applied is not None and pod not in self._applied.pods()

    async def forget(self, pod: Uid) -> None:
        """See nodrop.client.traffic.Traffic. It stays barred while a slice still names it."""
        self._forgotten.add(pod)
        self._poke()

    async def _hold(self, pod: str, start: float, budget_s: float) -> None:
        """Let the pod serve on while nobody else can: see hold_longer_s."""
        if self._others_serve(pod):
            return
        loop = asyncio.get_running_loop()
        async with self._moved:  # held between looking and waiting: no change is missed
            while True:
                if pod in self._barred:  # asked for again, or withdrawn by an engine before
                    return
                longer_s = hold_longer_s(
                    pod,
                    plan_endpoints(self._sources()),
                    waited_s=loop.time() - start,
                    budget_s=budget_s,
                )
                if longer_s is None:
                    return
                try:
                    async with asyncio.timeout(longer_s):
                        await self._moved.wait()
                except TimeoutError:
                    pass  # the next look says what that means

    def _others_serve(self, pod: str) -> bool:
        """Whether every pool of ``pod`` has somebody else who is ready: then nothing is held.

        Thousands of pods may be withdrawn at once, so this doesn't plan all endpoints again.
        """
        if self._pools_of is None:
            self._pools_of = pools_by_pod(
                Sources(services=self._cache.list(SERVICE), slices=self._cache.list(ENDPOINTSLICE))
            )
        return all(
            any(m.ready and m.backend.pod not in self._terminating for m in members)
            for members in self._pools_of.get(pod, ())
        )

    async def _drain(self, pod: str, timeout_s: float, answers_s: float) -> InFlight | None:
        """What is left; None when the proxy could not be asked until the end."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        said = False
        while True:
            left_s = max(0.0, deadline - loop.time())
            try:
                async with asyncio.timeout(left_s + _DRAIN_ANSWER_S):
                    return await self._proxy.drain(pod, left_s, answers_s=answers_s)
            except TimeoutError:
                log.error("the proxy does not say what pod %s has in flight", pod)
                return None
            except ProxyFailure as error:
                if not said:
                    log.error("can't tell what pod %s has in flight: %s", pod, error)
                said = True
            if loop.time() >= deadline:
                return None
            await asyncio.sleep(min(_FIRST_RETRY_S, max(0.0, deadline - loop.time())))

    # Following the cache.

    def _on_change(self, event: WatchEvent, before: Obj | None) -> None:
        if event.obj.get("kind") in _KIND_NAMES:
            self._pools_of = None
            self._poke()

    def _poke(self) -> int:
        """Ask for a table as of now; returns the number to be acknowledged."""
        self._wanted += 1
        self._wake.set()
        return self._wanted

    async def _acknowledgement(self, number: int) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._acknowledged >= number)

    async def _follow(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._bring_up_to_date()
                retry_s = _FIRST_RETRY_S
            except ProxyFailure as error:
                log.error("%s; trying again in %.2f s", error, retry_s)
                self._applied = None
                self._wake.set()
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _LONGEST_RETRY_S)

    async def _bring_up_to_date(self) -> None:
        number = self._wanted
        sources = self._sources()
        routes = plan_routes(sources)
        table = self._as_known(table_of(sources, plan_endpoints(sources), routes))
        if table != self._applied:
            await self._apply(table)
        self._authorities = routes.tls.authorities
        async with self._moved:
            self._acknowledged = number
            self._moved.notify_all()
        refused = {**self._unheld, **plan_refusals(sources.services)}
        await self._reports.listeners(refused, sources)
        externals = plan_externals(sources.services, table.routed())
        self._names.follow(externals.hosts())
        await self._reports.pools(self._unserved, sources)
        troubles = plan_troubles(externals, sources.answers, sources.ingress_ports)
        await self._reports.pools(troubles, sources, Reason.EXTERNAL_NAME_UNAVAILABLE)
        await self._reports.ingresses(routes.findings, self._uncertified, sources)

    def _as_known(self, table: RoutingTable) -> RoutingTable:
        """The table that the data plane has heard of by now."""
        if self._late is None:
            return table
        loop = asyncio.get_running_loop()
        shown, again_s = self._late.show(table, loop.time())
        if again_s is not None:
            loop.call_later(again_s + 0.001, self._poke)
        return shown

    async def _apply(self, table: RoutingTable) -> None:
        applied = await self._proxy.apply(table)
        before, self._applied = self._applied or RoutingTable(), table
        self._unheld = applied.refused
        self._unserved = applied.unserved
        self._uncertified = applied.uncertified
        self._certificates = table.certificates
        self._remember_served(before, table)
        if changes := diff_tables(before, table):
            log.info("routing: %s", "; ".join(changes))

    def _sources(self) -> Sources:
        slices = self._cache.list(ENDPOINTSLICE)
        self._drop_forgotten(slices)
        return Sources(
            services=self._cache.list(SERVICE),
            slices=slices,
            ingresses=self._cache.list(INGRESS),
            classes=self._cache.list(INGRESSCLASS),
            secrets=self._cache.list(SECRET),
            certificates=self._certificates,
            terminating=frozenset(self._terminating),
            barred=frozenset(self._barred),
            served=self._just_served(),
            node_addresses=self._node_addresses,
            ingress_ports=self._ingress_ports,
            authorities=self._authorities,
            answers=dict(self._names.answers),
        )

    def _drop_forgotten(self, slices: Sequence[Obj]) -> None:
        gone = self._forgotten - pods_in_slices(slices) if self._forgotten else set()
        self._forgotten -= gone
        self._terminating -= gone
        self._barred -= gone

    def _remember_served(self, before: RoutingTable, after: RoutingTable) -> None:
        """Note the pools that have just lost their last pod; look again when that was long ago."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._served_until = {pool: end for pool, end in self._served_until.items() if end > now}
        for pool in _served(before) - _served(after):
            self._served_until[pool] = now + _SERVED_S
            loop.call_later(_SERVED_S + 0.001, self._poke)

    def _just_served(self) -> frozenset[ServicePort]:
        """Pools that have a pod now, or had one a moment ago."""
        now = asyncio.get_running_loop().time()
        recent = {pool for pool, end in self._served_until.items() if end > now}
        return frozenset(recent | (_served(self._applied) if self._applied else set()))

    async def _verify(self) -> None:
        while True:
            await asyncio.sleep(_VERIFY_S)
            try:
                fine = await self._proxy.verify()
            except ProxyFailure as error:
                log.error("%s", error)
                fine = False
            if not fine or self._unheld:
                self._applied = None
                self._poke()
            elif self._reports.due():
                self._poke()


def _withdrawn(left: InFlight | None, took_s: float) -> Withdrawn:
    if left is None:
        return Withdrawn(in_flight=None, took_s=took_s)
    return Withdrawn(in_flight=left.requests, streams=left.streams, took_s=took_s)


def _served(table: RoutingTable) -> set[ServicePort]:
    return {pool for pool, backends in table.pools.items() if backends}


_KIND_NAMES = frozenset(kind.kind for kind in KINDS)
