"""The eviction of one pod in a rehearsal, and when a budget will never allow it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from nodrop.cli.session import Failure
from nodrop.model.errors import ApiError
from nodrop.model.meta import ObjectKey

_RETRY_S = 0.5
#: A budget's status follows the pods within moments, so nothing is to come after 20 s of rest.
_REFUSALS_AT_REST = 40


class Evicts(Protocol):
    async def evict(self, pod: ObjectKey) -> None: ...


async def evict(
    client: Evicts,
    pod: ObjectKey,
    settled: Callable[[], Awaitable[None]],
    *,
    retry_s: float = _RETRY_S,
) -> None:
    """Evict ``pod`` as soon as its budget allows it; one that is gone already is all right.

    ``settled`` returns once the Deployment is at rest: a budget that refuses then, again and
    again, makes every drain of a node wait for ever. Raises Failure then, and what ``settled``
    raises.
    """
    for _ in range(_REFUSALS_AT_REST):
        try:
            return await client.evict(pod)
        except ApiError as error:
            if error.code == 404:
                return None
            if error.code != 429:
                raise
            refusal = error
        await settled()
        await asyncio.sleep(retry_s)
    raise Failure(
        f"pod {pod.name} can't be evicted, though the Deployment is complete: {_why(refusal)}",
        hint="a drain would wait for ever: mend the PodDisruptionBudget (nodrop check: ND601), "
        "or leave evictions out: --act restart --act scale-down",
    )


def _why(refusal: ApiError) -> str:
    for cause in refusal.details.get("causes") or ():
        return str(cause["message"])
    return refusal.message
