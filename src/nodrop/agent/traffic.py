"""What the agent asks of the data plane before it ends a pod: the acknowledged order."""

from __future__ import annotations

from nodrop.client.traffic import Traffic, Withdrawn

__all__ = ["Traffic", "Withdrawn"]
