"""What ``nodrop top`` shows: pods and services with rates and quantiles; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from nodrop.metrics.collector import Labels
from nodrop.metrics.directory import PodName
from nodrop.metrics.latency import K, Latency
from nodrop.metrics.metrics import Look
from nodrop.metrics.usage import Usage
from nodrop.proxy.haproxy.stats import add
from nodrop.proxy.protocol import NO_STATS, PoolStats

#: Which quantiles are told, and how many durations each needs to mean anything.
_LEAST_SAMPLES = {0.5: 5, 0.99: 20}


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a Service. Quantiles are None when too few sampled requests ended of late."""

    namespace: str
    service: str
    port: str
    requests_per_s: float
    errors_per_s: float
    in_flight: int
    p50_ms: float | None
    p99_ms: float | None


class PodRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pod; traffic of all Services that it is in."""

    namespace: str
    pod: str
    deployment: str
    version: str
    cpu_cores: float
    memory_bytes: int
    requests_per_s: float
    errors_per_s: float
    in_flight: int
    p50_ms: float | None
    p99_ms: float | None


class Top(msgspec.Struct, frozen=True, kw_only=True):
    """Rates are over ``window_s``; 0 means that there was no earlier look yet."""

    window_s: float
    services: list[ServiceRow]
    pods: list[PodRow]


def top_of(
    looks: Sequence[Look],
    latency: dict[str, Latency[Labels]],
    pods: Iterable[PodName],
    usage: Usage,
    *,
    now_s: float,
) -> Top:
    if not looks:
        return Top(window_s=0.0, services=[], pods=[])
    window_s = looks[-1].at_s - looks[0].at_s
    services = [
        _service(labels, looks, latency["service"], now_s)
        for labels in sorted(looks[-1].traffic["service"])
    ]
    rows = [_pod(pod, looks, latency["pod"], usage, now_s) for pod in sorted(pods, key=_by_name)]
    return Top(window_s=window_s, services=services, pods=rows)


def _service(
    labels: Labels, looks: Sequence[Look], latency: Latency[Labels], now_s: float
) -> ServiceRow:
    before, now = (look.traffic["service"].get(labels, NO_STATS) for look in (looks[0], looks[-1]))
    p50, p99 = quantiles_of(latency, [labels], now_s)
    return ServiceRow(
        namespace=labels[0],
        service=labels[1],
        port=labels[2],
        requests_per_s=_rate(before.requests, now.requests, looks),
        errors_per_s=_rate(before.responses[4], now.responses[4], looks),
        in_flight=now.in_flight,
        p50_ms=p50,
        p99_ms=p99,
    )


def _pod(
    pod: PodName, looks: Sequence[Look], latency: Latency[Labels], usage: Usage, now_s: float
) -> PodRow:
    keys = [labels for labels in looks[-1].traffic["pod"] if _is(labels, pod)]
    before, now = (_sum(look, keys) for look in (looks[0], looks[-1]))
    p50, p99 = quantiles_of(latency, keys, now_s)
    used = usage.of_pod(pod.uid)
    return PodRow(
        namespace=pod.namespace,
        pod=pod.name,
        deployment=pod.deployment,
        version=pod.version,
        cpu_cores=round(used.cores, 4),
        memory_bytes=used.memory_bytes,
        requests_per_s=_rate(before.requests, now.requests, looks),
        errors_per_s=_rate(before.responses[4], now.responses[4], looks),
        in_flight=now.in_flight,
        p50_ms=p50,
        p99_ms=p99,
    )


def _by_name(pod: PodName) -> tuple[str, str]:
    return pod.namespace, pod.name


def _is(labels: Labels, pod: PodName) -> bool:
    return (labels[0], labels[4]) == (pod.namespace, pod.name)


def _sum(look: Look, keys: Iterable[Labels]) -> PoolStats:
    found, in_flight = NO_STATS, 0
    for key in keys:
        stats = look.traffic["pod"].get(key, NO_STATS)
        found, in_flight = add(found, stats), in_flight + stats.in_flight
    return add(found, PoolStats(in_flight, 0, 0))


def _rate(before: int, now: int, looks: Sequence[Look]) -> float:
    window_s = looks[-1].at_s - looks[0].at_s
    return round(max(0, now - before) / window_s, 2) if window_s > 0 else 0.0


def quantiles_of(
    latency: Latency[K], keys: Iterable[K], now_s: float
) -> tuple[float | None, float | None]:
    """Of the busiest key: quantiles of several can't be added up."""
    found = [latency.by_key[key] for key in keys if key in latency.by_key]
    if not found:
        return None, None
    busiest = max(found, key=lambda one: len(one.newest))
    known = busiest.count(now_s)
    p50, p99 = (
        None if took is None or known < least else round(took * 1000, 1)
        for took, least in zip(
            busiest.quantiles(*_LEAST_SAMPLES, now_s=now_s), _LEAST_SAMPLES.values(), strict=True
        )
    )
    return p50, p99
