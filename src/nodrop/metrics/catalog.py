"""Every metric that is exposed: name, kind, labels and meaning; the reference is made from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nodrop.proxy.haproxy.log import SAMPLE_ONE_IN

Type = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. ``name`` is as scraped: counters end in _total."""

    name: str
    type: Type
    labels: tuple[str, ...]
    help: str


#: Levels of traffic counts, finer and shorter-lived from left to right.
LEVELS: dict[str, tuple[str, ...]] = {
    "service": ("namespace", "service", "port"),
    "version": ("namespace", "service", "port", "version"),
    "pod": ("namespace", "service", "port", "version", "pod"),
}
#: Upper bounds of the latency histogram.
DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CODES = ("1xx", "2xx", "3xx", "4xx", "5xx")

_TRAFFIC: tuple[tuple[str, Type, tuple[str, ...], str], ...] = (
    ("requests_total", "counter", (), "Requests given to the {}; of TCP, connections."),
    ("responses_total", "counter", ("code",), "Answers of the {} by class, 1xx to 5xx."),
    ("received_bytes_total", "counter", (), "Bytes that clients sent to the {}."),
    ("sent_bytes_total", "counter", (), "Bytes that clients were sent by the {}."),
    ("in_flight_requests", "gauge", (), "Requests that the {} has in hand now."),
    ("retries_total", "counter", (), "Connections to the {} that were tried again."),
    ("redispatches_total", "counter", (), "Requests of the {} that went to another pod instead."),
    ("connection_errors_total", "counter", (), "Connections that the {} refused or let time out."),
    ("aborts_total", "counter", ("by",), "Transfers of the {} broken off by client or server."),
    (
        "request_duration_seconds",
        "histogram",
        (),
        "From the first byte of a request to the last of its answer. Of a sample: see "
        "nodrop_request_sample_ratio.",
    ),
)


def traffic_metrics() -> Iterator[Metric]:
    for level, labels in LEVELS.items():
        for name, type_, more, text in _TRAFFIC:
            yield Metric(f"nodrop_{level}_{name}", type_, (*labels, *more), text.format(level))


_DRAIN = ("namespace", "deployment", "version")
_DEPLOYMENT = ("namespace", "deployment")

OTHERS: tuple[Metric, ...] = (
    Metric(
        "nodrop_request_sample_ratio", "gauge", (),
        f"Share of requests that histograms are made of: 1/{SAMPLE_ONE_IN}, or 1 with access log.",
    ),
    Metric(
        "nodrop_drained_requests_total", "counter", _DRAIN,
        "Requests that ended while their pod was withdrawn, before its first signal.",
    ),
    Metric(
        "nodrop_cut_requests_total", "counter", _DRAIN,
        "Requests still in flight when the drain's share of the grace period was over, or a"
        " container was restarted.",
    ),
    Metric(
        "nodrop_cut_streams_total", "counter", _DRAIN,
        "Long-lived connections closed after the app had its signal and did not end them in time.",
    ),
    Metric(
        "nodrop_drains_total", "counter", ("outcome",),
        "Pods withdrawn: complete, cut (requests were left) or unknown (the proxy could not say).",
    ),
    Metric(
        "nodrop_drain_duration_seconds", "histogram", (),
        "From the wish to end a pod until nothing of it was in flight, or time was up.",
    ),
    Metric(
        "nodrop_pod_info", "gauge",
        ("namespace", "pod", "deployment", "version", "pod_template_hash", "image", "ip"),
        "1 for every pod; joins the version with what it is made of.",
    ),
    Metric("nodrop_pod_ready", "gauge", ("namespace", "pod"), "1 if the pod is Ready, else 0."),
    Metric(
        "nodrop_pod_container_restarts_total", "counter", ("namespace", "pod", "container"),
        "How often a container was started again.",
    ),
    Metric("nodrop_pod_cpu_seconds_total", "counter", ("namespace", "pod"),
           "CPU time of the pod's living processes."),
    Metric("nodrop_pod_memory_bytes", "gauge", ("namespace", "pod"),
           "Resident memory of the pod's processes; what they share counts for each."),
    Metric(
        "nodrop_deployment_replicas", "gauge", (*_DEPLOYMENT, "state"),
        "Pods: desired, total, updated, ready, available or unavailable.",
    ),
    Metric("nodrop_deployment_revision", "gauge", _DEPLOYMENT, "The newest revision."),
    Metric(
        "nodrop_deployment_condition", "gauge", (*_DEPLOYMENT, "type", "status", "reason"),
        "1 for the state that each condition is in, Progressing among them.",
    ),
    Metric("nodrop_events_total", "counter", ("type", "reason"),
           "Events recorded since the engine started; reasons are listed in events.md."),
    Metric("nodrop_reconciles_total", "counter", ("controller", "result"),
           "Looks at a key: success, or the reason of the API error."),
    Metric("nodrop_reconcile_duration_seconds", "histogram", ("controller",),
           "One look at a key: read, decide, apply, and until the cache shows what was written."),
    Metric("nodrop_queue_depth", "gauge", ("controller",), "Keys that waited after the last look."),
    Metric("nodrop_probes_total", "counter", ("probe", "result"),
           "Probes: startup, readiness, liveness; success, failure or error (of the prober)."),
    Metric("nodrop_probe_duration_seconds", "histogram", ("probe",), "How long a probe took."),
    Metric("nodrop_hooks_total", "counter", ("hook", "result"),
           "postStart and preStop: success or failure; one that was cut short has failed."),
    Metric("nodrop_hook_duration_seconds", "histogram", ("hook",), "How long a hook took."),
    Metric("nodrop_proxy_up", "gauge", (), "1 if the proxy could be asked for its counters."),
    Metric("nodrop_proxy_applies_total", "counter", ("result",),
           "Routing tables given to the proxy: success or failure."),
    Metric("nodrop_proxy_apply_duration_seconds", "histogram", (),
           "From the call to the acknowledgement of a routing table."),
    Metric("nodrop_proxy_reloads_total", "counter", (), "Proxy processes that were replaced."),
    Metric("nodrop_access_log_lines_total", "counter", ("result",),
           "Lines: read (samples too), written, or dropped by proxy or disk."),
    Metric("nodrop_api_requests_total", "counter", ("verb", "resource", "code"),
           "Requests to the API server; the engine's own parts do not use HTTP."),
    Metric("nodrop_api_request_duration_seconds", "histogram", ("verb",),
           "API requests but watches and followed logs."),
    Metric("nodrop_api_watchers", "gauge", ("resource",), "Watches that are open now."),
    Metric("nodrop_store_revision", "gauge", (), "The store's latest resourceVersion."),
    Metric("nodrop_store_commit_duration_seconds", "histogram", (), "One write to the store."),
    Metric("nodrop_store_objects", "gauge", ("resource",), "Objects by kind."),
    Metric("nodrop_process_cpu_seconds_total", "counter", ("process",),
           "CPU time: engine, keeper, proxy-main, proxy-edge."),
    Metric("nodrop_process_memory_bytes", "gauge", ("process",), "Resident memory of the same."),
)  # fmt: skip

CATALOG: dict[str, Metric] = {m.name: m for m in (*traffic_metrics(), *OTHERS)}


def render_reference() -> str:
    """The table of docs/reference/metrics.md."""
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for metric in CATALOG.values():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        lines.append(f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render_reference(), end="")
