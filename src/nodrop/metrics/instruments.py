"""Counters and histograms that parts of the engine write to while they work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nodrop.agent.observer import HookName
from nodrop.agent.plan.probes import Outcome, ProbeKind
from nodrop.client.traffic import Withdrawn
from nodrop.metrics.catalog import CATALOG
from nodrop.metrics.directory import PodName
from nodrop.metrics.traffic import VERSION_ENDS_AFTER_S

_SHORT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_LONG_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0)


class Instruments:
    """All of them, on one registry. Observer of controllers and agent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.drained_requests = self._counter("nodrop_drained_requests_total")
        self.cut_requests = self._counter("nodrop_cut_requests_total")
        self.cut_streams = self._counter("nodrop_cut_streams_total")
        self.drains = self._counter("nodrop_drains_total")
        self.drain_duration = self._histogram("nodrop_drain_duration_seconds", _LONG_S)
        self.events = self._counter("nodrop_events_total")
        self.reconciles = self._counter("nodrop_reconciles_total")
        self.reconcile_duration = self._histogram("nodrop_reconcile_duration_seconds", _SHORT_S)
        self.queue_depth = self._gauge("nodrop_queue_depth")
        self.probes = self._counter("nodrop_probes_total")
        self.probe_duration = self._histogram("nodrop_probe_duration_seconds", _SHORT_S)
        self.hooks = self._counter("nodrop_hooks_total")
        self.hook_duration = self._histogram("nodrop_hook_duration_seconds", _LONG_S)
        self.proxy_applies = self._counter("nodrop_proxy_applies_total")
        self.proxy_apply_duration = self._histogram("nodrop_proxy_apply_duration_seconds", _SHORT_S)
        self.proxy_reloads = self._counter("nodrop_proxy_reloads_total")
        self.log_lines = self._counter("nodrop_access_log_lines_total")
        self.api_requests = self._counter("nodrop_api_requests_total")
        self.api_duration = self._histogram("nodrop_api_request_duration_seconds", _SHORT_S)
        self.api_watchers = self._gauge("nodrop_api_watchers")
        self.commit_duration = self._histogram("nodrop_store_commit_duration_seconds", _SHORT_S)
        #: Namespace, Deployment, version → when it was seen to have a pod last.
        self._versions: dict[tuple[str, str, str], float | None] = {}

    def reconciled(self, controller: str, took_s: float, *, error: str, waiting: int) -> None:
        self.reconciles.labels(controller, error or "success").inc()
        self.reconcile_duration.labels(controller).observe(took_s)
        self.queue_depth.labels(controller).set(waiting)

    def probed(self, kind: ProbeKind, outcome: Outcome, took_s: float) -> None:
        self.probes.labels(kind, outcome).inc()
        self.probe_duration.labels(kind).observe(took_s)

    def hooked(self, hook: HookName, succeeded: bool, took_s: float) -> None:
        self.hooks.labels(hook, "success" if succeeded else "failure").inc()
        self.hook_duration.labels(hook).observe(took_s)

    def withdrew(self, pod: PodName, withdrawn: Withdrawn) -> None:
        """A pod's drain is over."""
        left = withdrawn.in_flight
        self.drains.labels("unknown" if left is None else "cut" if left else "complete").inc()
        self.drain_duration.observe(withdrawn.took_s)
        if left:
            self._of_version(self.cut_requests, pod).inc(left)

    def paused(self, pod: PodName, paused: Withdrawn) -> None:
        """A container is restarted in a pod that lives on: no drain, but it may have to cut."""
        if paused.in_flight:
            self._of_version(self.cut_requests, pod).inc(paused.in_flight)

    def cut(self, pod: PodName, streams: int) -> None:
        """The app had not ended these connections in time, so the proxy did."""
        self._of_version(self.cut_streams, pod).inc(streams)

    def drained(self, pod: PodName, requests: int) -> None:
        self._of_version(self.drained_requests, pod).inc(requests)

    def end_versions(self, present: Iterable[PodName], now_s: float) -> None:
        """Drop the series of versions that have had no pod for a while: else every rollout would
        leave some behind. ``now_s``: of any clock, the same for all calls."""
        alive = {_version(pod) for pod in present}
        for version, seen_s in list(self._versions.items()):
            if seen_s is None or version in alive:
                self._versions[version] = now_s
            elif now_s - seen_s > VERSION_ENDS_AFTER_S:
                del self._versions[version]
                for counter in (self.drained_requests, self.cut_requests, self.cut_streams):
                    with suppress(KeyError):  # not every version has all of them
                        counter.remove(*version)

    # Private

    def _of_version(self, counter: Counter, pod: PodName) -> Counter:
        version = _version(pod)
        self._versions.setdefault(version, None)
        return counter.labels(*version)

    def _counter(self, name: str) -> Counter:
        metric = CATALOG[name]
        return Counter(name, metric.help, metric.labels, registry=self._registry)

    def _gauge(self, name: str) -> Gauge:
        metric = CATALOG[name]
        return Gauge(name, metric.help, metric.labels, registry=self._registry)

    def _histogram(self, name: str, buckets: Sequence[float]) -> Histogram:
        metric = CATALOG[name]
        return Histogram(name, metric.help, metric.labels, buckets=buckets, registry=self._registry)


def _version(pod: PodName) -> tuple[str, str, str]:
    return pod.namespace, pod.deployment, pod.version
