"""When the proxy has acknowledged a pod, as the engine's log tells it."""

from __future__ import annotations

import time

from bench.ready import Shape, acknowledgements


def test_a_pod_is_acknowledged_when_the_log_first_routes_to_it() -> None:
    lines = (
        "not JSON",
        '{"time": "2026-11-25T10:00:00.500000Z", "message": "routing: default/a:80 + a-1 (127.9.0.1'
        ':80); default/a:80 + a-2 (127.9.0.2:80); default/a:80 - a-0 (127.9.0.3:80)"}',
        '{"time": "2026-11-25T10:00:02.000000Z", "message": "routing: default/b:80 + a-1 (127.9.0.1'
        ':80)"}',
        '{"time": "2026-11-25T10:00:03.000000Z", "message": "no routing: x + a-3 (127.9.0.4:80)"}',
    )
    found = acknowledgements("\n".join(lines))
    offset_s = time.time() - time.monotonic()
    assert found.keys() == {"a-1", "a-2"}
    assert found["a-1"] == found["a-2"]
    assert abs(found["a-1"] + offset_s - 1795600800.5) < 1


def test_requests_to_a_pod_are_as_far_apart_as_there_are_pods() -> None:
    assert Shape("one", replicas=2, surge=1, rollouts=1).gap_ms == 1
    assert Shape("three", replicas=3, surge=3, rollouts=1).gap_ms == 2
