"""Whether a pod that is being ended goes on serving until its replacement is ready; pure."""

from __future__ import annotations

from collections.abc import Iterable

from nodrop.proxy.pools import Endpoint, Endpoints

#: How long to wait for a replacement to show up at all before giving up on one.
APPEAR_S = 1.0
#: The part of the budget that may pass before the pod is withdrawn; the rest is for the drain.
_HELD_SHARE = 0.75


def hold_longer_s(
    pod: str, endpoints: Endpoints, *, waited_s: float, budget_s: float
) -> float | None:
    """How many seconds more ``pod`` may go on serving at most; None: withdraw it now.

    While no other pod of one of its pools is ready, it serves on if a replacement is on its way,
    within three quarters of the budget. If none is to be seen, one may appear within a second.
    """
    left_s = budget_s * _HELD_SHARE - waited_s
    needed = [members for members in endpoints.values() if _needs(pod, members)]
    if not needed or left_s <= 0:
        return None
    if any(_replaced(pod, members) for members in needed):
        return left_s
    appear_s = APPEAR_S - waited_s
    return min(appear_s, left_s) if appear_s > 0 else None


def _needs(pod: str, members: Iterable[Endpoint]) -> bool:
    """Whether ``pod`` serves this pool and no other pod could take over."""
    serves = any(member.backend.pod == pod and member.serving for member in members)
    return serves and not any(m.ready for m in members if m.backend.pod != pod)


def _replaced(pod: str, members: Iterable[Endpoint]) -> bool:
    return any(member.coming for member in members if member.backend.pod != pod)
