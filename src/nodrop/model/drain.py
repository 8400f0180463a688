"""The annotations of a pod template about its drain; pure.

They belong to the pod, not to a Service, as terminationGracePeriodSeconds does: a pod may be in
several Services and ends once. Meaning and defaults: docs/concepts/drain.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nodrop.model.duration import parse_duration_s

#: How long requests in flight may take, and after how long streams are closed.
DRAIN_TIMEOUT = "nodrop.dev/drain-timeout"
STREAM_DRAIN_TIMEOUT = "nodrop.dev/stream-drain-timeout"


@dataclass(frozen=True, slots=True)
class DrainWishes:
    """What a pod asks for; None: the default."""

    requests_s: float | None = None
    streams_s: float | None = None


def read_drain(annotations: Mapping[str, str]) -> DrainWishes:
    """What is written; a value that is no duration counts as none."""
    return DrainWishes(
        parse_duration_s(annotations.get(DRAIN_TIMEOUT, "")),
        parse_duration_s(annotations.get(STREAM_DRAIN_TIMEOUT, "")),
    )
