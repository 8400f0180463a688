"""What the agent asks of the data plane before it ends a pod: the acknowledged order.

It lives beside Client because agent and proxy both speak it and never import each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nodrop.model.meta import Uid


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The data plane has let go of a pod.

    ``in_flight`` is how many requests were still running when the budget ended (0 = all over,
    None = the data plane could not be asked); ``streams`` how many long-lived connections are
    open, which nobody waited for; ``took_s`` the seconds from the call to the return.
    """

    in_flight: int | None
    took_s: float
    streams: int = 0


class Traffic(Protocol):
    """The one promise that makes a rollout lossless (architecture: the invariant)."""

    async def withdraw(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        """Return once no new request can reach the pod and those in flight are over.

        Streams (TCP, WebSocket, CONNECT, and answers that go on for longer than ``answers_s``)
        are not waited for: only the application can end them well, and it learns of its end by
        the signal that follows.

        Returns once ``budget_s`` is used up, but never before the proxy has acknowledged a table
        without the pod: whoever can't wait for a proxy that is lost cuts this short. While no
        other endpoint of its Service is ready and a replacement is on its way, the pod keeps
        serving within the budget (upstream's fall-back to serving terminating endpoints). Safe
        to call again after a restart of the control plane; a pod that is out of the table stays
        out. A pod the proxy never knew returns at once.
        """
        ...

    async def pause(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        """Return once a pod that says it isn't ready is out of the table and has nothing in flight.

        For a container that is restarted inside a pod that lives on: nothing is barred, the pod
        gets traffic again as soon as it is ready. Returns at the latest when ``budget_s`` is
        used up, whatever the proxy has done until then.
        """
        ...

    async def cut(self, pod: Uid, *, spread_s: float) -> int:
        """Close the streams that a withdrawn pod still has, spread over ``spread_s``.

        Returns how many were closed; 0 also when the data plane can't be asked. Cancelled, it stops
        and returns how many it has closed by then: what was cut is never untold.
        """
        ...

    async def forget(self, pod: Uid) -> None:
        """The pod is gone: its address may be used again."""
        ...
