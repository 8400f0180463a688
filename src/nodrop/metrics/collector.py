"""What is read off the engine's state when somebody scrapes: traffic, rollouts, pods, store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from nodrop.metrics.catalog import CATALOG, CODES, LEVELS
from nodrop.metrics.directory import REVISION, Directory
from nodrop.metrics.latency import Durations
from nodrop.metrics.usage import Usage
from nodrop.model.kinds import DEPLOYMENT, KINDS, POD
from nodrop.model.meta import Obj, annotations_of, uid_of
from nodrop.proxy.protocol import PoolStats

#: Label values of one series, in the order of its level.
Labels = tuple[str, ...]


@dataclass(slots=True)
class State:
    """What was seen last. ``traffic`` and ``durations``: level → label values → counts."""

    traffic: Mapping[str, Mapping[Labels, PoolStats]] = field(default_factory=dict)
    durations: Mapping[str, Mapping[Labels, Durations]] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    proxy_up: bool = False
    sample_ratio: float = 0.0
    revision: int = 0


class StateCollector(Collector):
    """A collector over ``state``, which others keep fresh, and the cache."""

    def __init__(self, directory: Directory) -> None:
        self.state = State()
        self._cache = directory.cache
        self._directory = directory

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are this package's own, and can't collide."""
        return ()

    def collect(self) -> Iterator[Metric]:
        for level in LEVELS:
            yield from _traffic(level, self.state.traffic.get(level, {}))
            yield _histogram(level, self.state.durations.get(level, {}))
        yield _family("nodrop_request_sample_ratio", [((), self.state.sample_ratio)])
        yield _family("nodrop_proxy_up", [((), float(self.state.proxy_up))])
        yield _family("nodrop_store_revision", [((), float(self.state.revision))])
        objects = [((kind.resource,), float(len(self._cache.list(kind)))) for kind in KINDS]
        yield _family("nodrop_store_objects", objects)
        yield from self._pods()
        yield from _deployments(self._cache.list(DEPLOYMENT))
        own = self.state.usage.own.items()
        yield _family("nodrop_process_cpu_seconds_total", [((n,), u.cpu_s) for n, u in own])
        memory = [((name,), float(used.memory_bytes)) for name, used in own]
        yield _family("nodrop_process_memory_bytes", memory)

    def _pods(self) -> Iterator[Metric]:
        names = self._directory.look()
        info, ready, restarts, cpu, memory = [], [], [], [], []
        for pod in self._cache.list(POD):
            name, status = names[uid_of(pod)], pod.get("status") or {}
            image = ",".join(c.get("image", "") for c in pod["spec"].get("containers") or ())
            at = (name.namespace, name.name)
            described = (name.deployment, name.version, name.template_hash, image)
            info.append(((*at, *described, status.get("podIP", "")), 1.0))
            ready.append((at, float(_is_ready(status))))
            for container in status.get("containerStatuses") or ():
                count = float(container.get("restartCount", 0))
                restarts.append(((*at, container["name"]), count))
            used = self.state.usage.of_pod(name.uid)
            cpu.append((at, used.cpu_s))
            memory.append((at, float(used.memory_bytes)))
        yield _family("nodrop_pod_info", info)
        yield _family("nodrop_pod_ready", ready)
        yield _family("nodrop_pod_container_restarts_total", restarts)
        yield _family("nodrop_pod_cpu_seconds_total", cpu)
        yield _family("nodrop_pod_memory_bytes", memory)


def _family(name: str, values: Iterable[tuple[Labels, float]]) -> Metric:
    metric = CATALOG[name]
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _traffic(level: str, counts: Mapping[Labels, PoolStats]) -> Iterator[Metric]:
    def each(name: str, attribute: str) -> Metric:
        values = [(labels, float(getattr(stats, attribute))) for labels, stats in counts.items()]
        return _family(f"nodrop_{level}_{name}", values)

    yield each("requests_total", "requests")
    responses = [
        ((*labels, code), float(count))
        for labels, stats in counts.items()
        for code, count in zip(CODES, stats.responses, strict=True)
    ]
    yield _family(f"nodrop_{level}_responses_total", responses)
    yield each("received_bytes_total", "bytes_in")
    yield each("sent_bytes_total", "bytes_out")
    yield each("in_flight_requests", "in_flight")
    yield each("retries_total", "retries")
    yield each("redispatches_total", "redispatches")
    yield each("connection_errors_total", "connection_errors")
    aborts = [
        ((*labels, by), float(count))
        for labels, stats in counts.items()
        for by, count in (("client", stats.client_aborts), ("server", stats.server_aborts))
    ]
    yield _family(f"nodrop_{level}_aborts_total", aborts)


def _histogram(level: str, durations: Mapping[Labels, Durations]) -> Metric:
    metric = CATALOG[f"nodrop_{level}_request_duration_seconds"]
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, found in durations.items():
        family.add_metric(labels, found.cumulative(), found.sum_s)
    return family


def _deployments(deployments: Iterable[Obj]) -> Iterator[Metric]:
    replicas, revisions, conditions = [], [], []
    for deployment in deployments:
        meta, status = deployment["metadata"], deployment.get("status") or {}
        at = (meta.get("namespace", ""), meta["name"])
        counts = {
            "desired": deployment["spec"].get("replicas", 1),
            "total": status.get("replicas", 0),
            "updated": status.get("updatedReplicas", 0),
            "ready": status.get("readyReplicas", 0),
            "available": status.get("availableReplicas", 0),
            "unavailable": status.get("unavailableReplicas", 0),
        }
        replicas += [((*at, state), float(count)) for state, count in counts.items()]
        revision = annotations_of(deployment).get(REVISION, "")
        if revision.isdecimal():
            revisions.append((at, float(revision)))
        for condition in status.get("conditions") or ():
            state = (condition["type"], condition["status"], condition.get("reason", ""))
            conditions.append(((*at, *state), 1.0))
    yield _family("nodrop_deployment_replicas", replicas)
    yield _family("nodrop_deployment_revision", revisions)
    yield _family("nodrop_deployment_condition", conditions)


def _is_ready(status: Obj) -> bool:
    found = [c for c in status.get("conditions") or () if c.get("type") == "Ready"]
    return bool(found) and found[0].get("status") == "True"
