"""Series of versions end with them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from nodrop.client.traffic import Withdrawn
from nodrop.metrics.directory import PodName
from nodrop.metrics.instruments import Instruments
from nodrop.metrics.traffic import VERSION_ENDS_AFTER_S


def pod(version: int) -> PodName:
    return PodName(f"uid-{version}", "default", f"web-{version}", "web", str(version), "hash")


def test_what_rollouts_have_drained_and_cut_leaves_no_series_behind_for_ever() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    now_s = 0.0
    for version in range(100):
        instruments.drained(pod(version), 3)
        instruments.end_versions([pod(version)], now_s)
        if version % 2:
            instruments.withdrew(pod(version), Withdrawn(in_flight=2, took_s=1.0))
            instruments.cut(pod(version), 1)
            instruments.paused(pod(version), Withdrawn(in_flight=3, took_s=1.0))
        now_s += VERSION_ENDS_AFTER_S / 4
    text = generate_latest(registry).decode()
    for name in ("drained_requests", "cut_requests", "cut_streams"):
        shown = [line for line in text.splitlines() if line.startswith(f"nodrop_{name}_total{{")]
        assert 2 <= len(shown) <= 6, shown
    last = 'nodrop_drained_requests_total{deployment="web",namespace="default",version="99"} 3.0'
    assert last in text.splitlines()
    cut = 'nodrop_cut_requests_total{deployment="web",namespace="default",version="99"} 5.0'
    assert cut in text.splitlines()
