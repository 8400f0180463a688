"""How an engine notices that it must end, and ends: the keeper's death, pods, proxy, keeper."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

from nodrop.client.actions import Delete
from nodrop.client.cache import Cache
from nodrop.client.protocol import Client
from nodrop.keeper.protocol import Keeper, KeeperFailure
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj, is_deleting, key_of
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.haproxy.processes import ROLE
from nodrop.proxy.protocol import ProxyFailure
from nodrop.statedir import StateDir
from nodrop.wiring.files import remove_sockets

log = logging.getLogger(__name__)

_ASK_KEEPER_EVERY_S = 1.0
_KEEPER_IS_GONE_AFTER = 3
_PROXY_ENDS_WITHIN_S = 5.0
_TRY_AGAIN_S = 1.0


async def keeper_gone(keeper: Keeper, *, every_s: float = _ASK_KEEPER_EVERY_S) -> KeeperFailure:
    """Return once the keeper has not answered three times in a row, with its last failure."""
    failed = 0
    while True:
        try:
            await keeper.info()
            failed = 0
        except KeeperFailure as failure:
            failed += 1
            if failed >= _KEEPER_IS_GONE_AFTER:
                return failure
        await asyncio.sleep(every_s)


@contextlib.asynccontextmanager
async def ended_if_the_start_fails(keeper: Keeper, state: StateDir) -> AsyncIterator[None]:
    """End the keeper when an engine can't start and no pod is left: it would only hold ports."""
    try:
        yield
    except Exception:
        with contextlib.suppress(KeeperFailure):
            alive = [record for record in await keeper.list() if record.exit_code is None]
            if all(ROLE in record.labels for record in alive):
                await keeper.shutdown()
                remove_sockets(state)
        raise


async def end_pods(cache: Cache, client: Client, *, grace_s: int | None = None) -> None:
    """Delete every pod, with its own grace period or ``grace_s``, and wait until all have ended.

    A pod that comes meanwhile (from a client's request, say) is deleted as it is seen. A pod that
    a finalizer holds has ended when its grace period is 0: the object stays. What can't be written
    (a full disk) is tried again: pods that nobody ends would outlive their engine.
    """
    changed = asyncio.Event()

    def look(*_change: object) -> None:
        changed.set()

    cache.subscribe(look)
    try:
        asked: set[str] = set()
        pods: Sequence[Obj] = (await client.list(POD)).items  # those the cache has not seen, too
        while True:
            changed.clear()
            new = {pod["metadata"]["uid"]: pod for pod in pods}
            for uid, pod in new.items():
                if uid not in asked and await _delete(pod, cache, client, grace_s):
                    asked.add(uid)
            pods = cache.list(POD)
            if all(_has_ended(pod) for pod in pods):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TRY_AGAIN_S if new.keys() - asked else None):
                    await changed.wait()
            pods = cache.list(POD)
    finally:
        cache.unsubscribe(look)


async def _delete(pod: Obj, cache: Cache, client: Client, grace_s: int | None) -> bool:
    """Delete it, and wait until the cache knows; returns whether that could be done."""
    try:
        written = await client.apply(Delete(key_of(pod), grace_period_s=grace_s))
    except ApiError as error:
        if error.code != 404:
            log.warning("pod %s can't be ended: %s; trying again", key_of(pod).name, error)
        return error.code == 404
    if written is not None:
        await cache.wait_seen(written)
    return True


async def end_proxy_and_keeper(proxy: HAProxy, keeper: Keeper) -> None:
    """Proxy first, while the keeper can still end it; the keeper whatever the proxy does."""
    try:
        async with asyncio.timeout(_PROXY_ENDS_WITHIN_S):
            await proxy.stop()
    except TimeoutError:
        log.warning("the proxy still had connections; ending it")
    except ProxyFailure as failure:
        log.warning("the proxy could not be ended properly: %s", failure)
    finally:
        with contextlib.suppress(KeeperFailure):  # it may be gone before it has answered
            await keeper.shutdown()


def _has_ended(pod: Obj) -> bool:
    meta = pod["metadata"]
    return is_deleting(pod) and not meta.get("deletionGracePeriodSeconds")
