"""The routing table and the Proxy protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from nodrop.model.ingressoptions import Cookie
from nodrop.model.ingresspaths import Rewrite


class ProxyFailure(Exception):
    """The data plane could not do what was asked; the message names what and on what."""


class ServicePort(NamedTuple):
    """A pool of backends: one port of one Service."""

    namespace: str
    service: str
    port: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


class BackendTls(NamedTuple):
    """How TLS is spoken to a backend: ``name`` is what it is asked for (SNI).

    ``authority``: its certificate must be for ``name`` and signed by one of these (PEM); empty:
    it is not checked. ``closed``: it must be, and nobody knows by whom: nothing is sent.
    """

    name: str
    authority: str = ""
    closed: bool = False


class Backend(NamedTuple):
    """One pod of a pool: where it listens. ``pod`` is its uid, ``name`` its pod name.

    Of a host elsewhere, or an endpoint written by hand, ``pod`` is the address. ``tls`` None: as
    the pool's protocol says, without a name and unchecked.
    """

    pod: str
    name: str
    address: str
    port: int
    tls: BackendTls | None = None


class Listener(NamedTuple):
    """A ClusterIP or NodePort address that is really listened on."""

    host: str
    port: int


#: What a Service port speaks. ``h2c`` is HTTP/2 without TLS, which gRPC uses.
AppProtocol = Literal["http", "h2c", "https", "tcp"]


class Route(NamedTuple):
    """An Ingress rule. ``host`` empty = any, ``*.example.org`` = one label. ``path`` starts with /.

    ``exact`` False means Prefix: per path element, a trailing slash ignored.
    """

    host: str
    path: str
    exact: bool


#: Stands for what no rule matches, where options are asked for by route.
UNMATCHED = Route("", "", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Requests that go to another pool: ``weight`` of WEIGHT_PARTS, and those with a header."""

    pool: ServicePort
    weight: int = 0
    header: str = ""
    header_value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """What is special about a route; None, False and empty: nothing.

    ``redirect``: a request without TLS is sent to https. ``upstream_host``: the Host header that
    pods see. ``single_try``: no pod gets what another one may have got.
    """

    server_timeout_ms: int | None = None
    body_limit_bytes: int | None = None
    redirect: bool = False
    hsts_max_age_s: int | None = None
    rewrite: Rewrite | None = None
    cookie: Cookie | None = None
    canary: Canary | None = None
    upstream_host: str = ""
    single_try: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain with its key, served to clients that ask for one of ``hosts`` (``*.x``: one label).

    ``secret`` is namespace/name. The key is in ``pem``, which is therefore never shown.
    """

    secret: str
    hosts: tuple[str, ...]
    pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All that the data plane needs, as one immutable value; equal tables route alike.

    A pool without backends answers 503 at once; if it is in ``waiting`` (no pod is ready, one is
    on its way) its requests are held for a few seconds first. ``protocols`` says what a pool
    speaks if not HTTP/1.1, ``affinity`` for how many seconds a client stays with its pod.
    ``options`` has only routes that are special, and UNMATCHED for the default backend.
    """

    pools: Mapping[ServicePort, frozenset[Backend]] = field(default_factory=dict)
    routes: Mapping[Route, ServicePort] = field(default_factory=dict)
    default: ServicePort | None = None
    listeners: Mapping[Listener, ServicePort] = field(default_factory=dict)
    waiting: frozenset[ServicePort] = frozenset()
    protocols: Mapping[ServicePort, AppProtocol] = field(default_factory=dict)
    affinity: Mapping[ServicePort, int] = field(default_factory=dict)
    options: Mapping[Route, RouteOptions] = field(default_factory=dict)
    certificates: tuple[Certificate, ...] = ()

    def routed(self) -> frozenset[ServicePort]:
        """Every pool that an Ingress sends requests to."""
        canaries = (one.canary.pool for one in self.options.values() if one.canary)
        default = () if self.default is None else (self.default,)
        return frozenset((*self.routes.values(), *default, *canaries))

    def reached(self) -> frozenset[ServicePort]:
        """Every pool that something can reach."""
        return self.routed() | frozenset(self.listeners.values())

    def pods(self) -> frozenset[str]:
        """Uids of all pods that are a backend of some pool."""
        return frozenset(b.pod for backends in self.pools.values() for b in backends)


@dataclass(frozen=True, slots=True)
class Applied:
    """The table serves: no new request goes anywhere else.

    ``refused`` lists listeners that could not be had, with the reason (the port is in use);
    ``unserved`` pools of which a route or a backend can't be served; ``uncertified`` Secrets whose
    certificate was refused: the one before stays. The rest of the table serves all the same.
    """

    reloads: int = 0
    refused: Mapping[Listener, str] = field(default_factory=dict)
    unserved: Mapping[ServicePort, str] = field(default_factory=dict)
    uncertified: Mapping[str, str] = field(default_factory=dict)


class InFlight(NamedTuple):
    """What a pod has in hand.

    ``requests`` are worth waiting for: they end by themselves. ``streams`` are not: TCP, WebSocket
    and CONNECT connections, and answers that have been going on for a while (SSE, long downloads).
    """

    requests: int
    streams: int = 0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Counters of one backend since it was added, and what it has in hand now.

    ``errors`` counts connections that failed and answers that never came or made no sense;
    most of them were retried elsewhere.
    """

    in_flight: int
    requests: int
    errors: int
    responses: tuple[int, ...] = (0, 0, 0, 0, 0)
    """By class: 1xx, 2xx, 3xx, 4xx, 5xx. All 0 where the proxy passes on bytes, not HTTP."""
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0
    redispatches: int = 0
    connection_errors: int = 0
    client_aborts: int = 0
    server_aborts: int = 0


NO_STATS = PoolStats(0, 0, 0)


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """``backends`` has those of the last table; ``ended`` sums up what left a pool before.

    ``left`` tells of the latter by pod (uid), as far as they are remembered, those that are being
    drained included; a pod that came back has both. ``pools`` counts whole pools, with requests
    that no pod got. ``drained`` are requests of a pod that ended while it was withdrawn.
    """

    state: Literal["up", "down"]
    backends: Mapping[tuple[ServicePort, Backend], PoolStats] = field(default_factory=dict)
    ended: Mapping[ServicePort, PoolStats] = field(default_factory=dict)
    left: Mapping[tuple[ServicePort, str], PoolStats] = field(default_factory=dict)
    pools: Mapping[ServicePort, PoolStats] = field(default_factory=dict)
    drained: Mapping[str, int] = field(default_factory=dict)


class Proxy(Protocol):
    """A data plane. Failures raise ProxyFailure; after one, ``apply`` again with the full table."""

    async def apply(self, table: RoutingTable) -> Applied:
        """Make the data plane route by ``table``; returns once it does (acknowledged)."""
        ...

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        """Wait until a withdrawn pod has no request in flight; returns what is left.

        Streams are not waited for. An answer that has begun counts as a stream once this has
        waited for ``answers_s``.
        """
        ...

    async def cut(self, pod: str, spread_s: float) -> int:
        """Close the streams of a withdrawn pod, at random moments within ``spread_s``, so that
        their clients don't come back all at once; returns how many, also when it is cancelled."""
        ...

    async def stats(self) -> ProxyStats: ...

    async def verify(self) -> bool:
        """Cheap look whether the data plane still is the one that acknowledged the last table.

        False: it was started anew or can't be reached; ``apply`` the table again.
        """
        ...
