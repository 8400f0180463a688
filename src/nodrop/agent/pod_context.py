"""One pod's facts and its stored status, shared by the pod's worker and its containers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from nodrop.agent.flag import Flag
from nodrop.agent.plan.pod import ContainerView, Observed, pod_status, status_patch
from nodrop.agent.plan.spec import read_pod
from nodrop.agent.settings import Host
from nodrop.client.actions import Patch
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.meta import Obj, key_of, revision_of, uid_of

log = logging.getLogger(__name__)

_RETRY_S = 0.5


class PodContext:
    """A pod as its worker knows it. ``pod`` is the newest version seen, ours or others'."""

    def __init__(self, host: Host, pod: Obj) -> None:
        self.host = host
        self.pod = pod
        self.spec = read_pod(pod)
        self.uid = uid_of(pod)
        self.key = key_of(pod)
        self.ip: str = (pod.get("status") or {}).get("podIP") or ""
        #: Set once the pod shall end; nothing is started any more.
        self.terminating = Flag()
        #: Set once the object is gone; nothing is written any more.
        self.vanished = Flag()
        self.views: Callable[[], tuple[ContainerView, ...]] = tuple
        self.init_views: Callable[[], tuple[ContainerView, ...]] = tuple
        #: Reason and message of a pod that has been ended as a whole, by its deadline.
        self.failure: tuple[str, str] | None = None
        self._dirty = Flag()
        self._dirty.set()
        self._writing = asyncio.Lock()
        #: What was seen while our own write was under way, its echo included.
        self._meanwhile: list[Obj] | None = None

    def __str__(self) -> str:
        return f"{self.key.namespace}/{self.key.name}"

    def saw(self, pod: Obj) -> None:
        """Take over a newer version of the object. The echo of our own write is none."""
        if revision_of(pod) > revision_of(self.pod):
            self._take(pod)
            if self._meanwhile is None:
                self._dirty.set()
            else:  # whoever writes looks, once it knows which of these is its own
                self._meanwhile.append(pod)

    def _take(self, pod: Obj) -> None:
        if pod["spec"] != self.pod["spec"]:
            self.spec = read_pod(pod)
        self.pod = pod

    def changed(self) -> None:
        """Something that status shows has changed: it is written right away."""
        self._dirty.set()

    async def emit(self, kind: Literal["Normal", "Warning"], reason: Reason, message: str) -> None:
        await self.host.emit(self.pod, kind, reason, message)

    async def tell(self, step: Reason, message: str) -> None:
        """Record a step of the pod's end, where somebody rehearses."""
        if self.host.settings.tells_steps:
            await self.emit("Normal", step, message)

    async def keep_published(self) -> None:
        """Write status whenever it differs from what is stored, until cancelled."""
        complained = False
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self.publish()
                complained = False
            except ApiError as error:
                if not complained:
                    log.warning("pod %s: status was not written: %s; trying again", self, error)
                complained = True
                await asyncio.sleep(_RETRY_S)
                self._dirty.set()

    async def publish(self) -> None:
        """Write status now if it differs; returns once it is stored."""
        async with self._writing:
            while not self.vanished.is_set():
                try:
                    await self._write()
                except ApiError as error:
                    if error.code == 404:
                        return
                    if error.code != 409:
                        raise
                    await self._read_again()
                else:
                    return

    async def _write(self) -> None:
        observed = Observed(
            containers=self.views(),
            init=self.init_views(),
            failure=self.failure,
            pod_ip=self.ip,
            host_ip=self.host.settings.host_ip,
            now=self.host.clock.now(),
        )
        before: Obj = self.pod.get("status") or {}
        patch = status_patch(before, pod_status(self.pod, self.spec, observed))
        if not patch:
            return
        patch["metadata"] = {"uid": self.uid}
        if self.spec.readiness_gates:  # others write conditions too: don't overwrite theirs
            patch["metadata"]["resourceVersion"] = self.pod["metadata"]["resourceVersion"]
        known, own = self.pod, None
        seen: list[Obj] = []
        self._meanwhile = seen
        try:
            own = await self.host.client.apply(Patch(self.key, patch, subresource="status"))
        finally:
            self._meanwhile = None
            if any(own is None or revision_of(pod) != revision_of(own) for pod in seen):
                self._dirty.set()
        if own is not None and revision_of(own) >= revision_of(self.pod):
            if not _same_but_for_status(own, known):
                self._dirty.set()  # others wrote meanwhile, and what they say comes as no news
            self._take(own)

    async def _read_again(self) -> None:
        """After a conflict: someone else wrote, or the name belongs to another pod now."""
        found = await self.host.client.get(self.key)
        if uid_of(found) != self.uid:
            self.vanished.set()
        else:
            self._take(found)


def _same_but_for_status(one: Obj, other: Obj) -> bool:
    """Whether nobody has changed what status is made from."""
    deleted = [pod["metadata"].get("deletionTimestamp") for pod in (one, other)]
    return deleted[0] == deleted[1] and bool(one["spec"] == other["spec"])
