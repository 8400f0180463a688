"""The agent of the one node: a worker for every pod, adoption of what runs already."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nodrop.agent.adopt import end_orphans, find_containers, remove_folders, stray_folders
from nodrop.agent.api_access import ApiAccess, NoAccess
from nodrop.agent.folders import PodFolders
from nodrop.agent.observer import AgentObserver, Unobserved
from nodrop.agent.plan.addresses import AddressPool
from nodrop.agent.pod_worker import PodWorker
from nodrop.agent.probers.protocol import Prober
from nodrop.agent.runtime.protocol import ContainerState, Runtime
from nodrop.agent.settings import AgentSettings, Host
from nodrop.agent.traffic import Traffic
from nodrop.agent.volumes import NamedVolumes, VolumeStore
from nodrop.bugs import OnBug, raise_bug
from nodrop.client.actions import Delete
from nodrop.client.cache import Cache
from nodrop.client.protocol import Client, WatchEvent
from nodrop.clock import Clock
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, POD, SECRET
from nodrop.model.meta import Obj, is_deleting, key_of, object_kind, uid_of

log = logging.getLogger(__name__)


class Agent:
    """What a kubelet is to a node.

    There is one node, so every pod is its own, whatever its nodeName says: a machine that was
    renamed goes on with its pods. ``cache`` must follow Pods, ConfigMaps, Secrets and Services;
    the agent reads nothing else. Killed at any moment, a new one finds the pods running, and
    goes on where this one was. Without ``volumes`` those of pods exist only by name. ``on_bug``
    hears what reading a pod raises; unless it raises it again, the other pods go on without.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        runtime: Runtime,
        prober: Prober,
        traffic: Traffic,
        clock: Clock,
        folders: PodFolders,
        settings: AgentSettings,
        volumes: VolumeStore | None = None,
        on_bug: OnBug = raise_bug,
        observer: AgentObserver | None = None,
        api: ApiAccess | None = None,
    ) -> None:
        self._host = Host(
            client=client,
            cache=cache,
            runtime=runtime,
            prober=prober,
            traffic=traffic,
            clock=clock,
            folders=folders,
            settings=settings,
            addresses=AddressPool(settings.pod_cidr),
            volumes=volumes or NamedVolumes(),
            observer=observer or Unobserved(),
            api=api or NoAccess(),
        )
        self._on_bug = on_bug
        self._workers: dict[str, PodWorker] = {}
        self._group: asyncio.TaskGroup | None = None
        #: Set once every pod that was there at the start has its worker.
        self.adopted = asyncio.Event()
        #: How many of those had never stopped running.
        self.adopted_pods = 0

    async def run(self) -> None:
        """Look after all pods until cancelled; pods keep running then."""
        await self._host.cache.synced()
        found = await find_containers(self._host.runtime)
        pods = {uid_of(pod): pod for pod in self._host.cache.list(POD)}
        for uid, pod in pods.items():
            if address := (pod.get("status") or {}).get("podIP"):
                self._keep(uid, address)
        self._host.addresses.leave_gap()
        strays = stray_folders(self._host.folders, pods.keys())
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._host.cache.subscribe(self._on_event)
            for uid, pod in pods.items():
                self._look_after(pod, found.get(uid, ()))
            orphans = [state for uid in found if uid not in pods for state in found[uid]]
            group.create_task(end_orphans(self._host.runtime, orphans))
            group.create_task(remove_folders(self._host.folders, strays))
            self.adopted_pods = sum(_runs(found.get(uid, ())) for uid in pods)
            self.adopted.set()
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def _look_after(self, pod: Obj, found: Sequence[ContainerState]) -> None:
        assert self._group is not None
        uid, name = uid_of(pod), pod["metadata"]["name"]
        try:
            worker = PodWorker(self._host, pod)
        except Exception as bug:
            self._on_bug(f"pod {name}", bug)
            self._group.create_task(self._pass_over(pod, bug), name=f"pod {name}")
            return
        self._workers[uid] = worker
        self._group.create_task(self._until_gone(uid, worker, found), name=f"pod {name}")

    def _keep(self, uid: str, address: str) -> None:
        try:
            self._host.addresses.keep(uid, address)
        except Exception as bug:
            self._on_bug(f"address {address} of pod {uid}", bug)

    async def _pass_over(self, pod: Obj, bug: Exception) -> None:
        """A pod that we can't read: people are told, and it can still be deleted."""
        await self._host.emit(pod, "Warning", Reason.FAILED, f"this pod can't be read: {bug!r}")
        if not is_deleting(pod):
            return
        await end_orphans(self._host.runtime, await self._host.containers_of(uid_of(pod)))
        try:
            await self._host.client.apply(Delete(key_of(pod), uid=uid_of(pod), grace_period_s=0))
        except ApiError as error:
            log.warning("pod %s can't be deleted: %s", pod["metadata"]["name"], error)

    async def _until_gone(
        self, uid: str, worker: PodWorker, found: Sequence[ContainerState]
    ) -> None:
        await worker.run(found)
        self._workers.pop(uid, None)

    def _on_event(self, event: WatchEvent, before: Obj | None) -> None:
        if self._group is None:
            return
        kind = object_kind(event.obj)
        if kind == POD:
            self._on_pod(event)
            if before is not None and uid_of(before) != uid_of(event.obj):
                self._gone(uid_of(before))  # deleted and made anew while nobody watched
        elif kind in (CONFIGMAP, SECRET):
            namespace = key_of(event.obj).namespace
            for worker in list(self._workers.values()):
                if worker.namespace == namespace:
                    worker.wake()

    def _on_pod(self, event: WatchEvent) -> None:
        uid = uid_of(event.obj)
        if event.type == "DELETED":
            self._gone(uid)
        elif worker := self._workers.get(uid):
            try:
                worker.saw(event.obj)
            except Exception as bug:
                self._on_bug(f"pod {event.obj['metadata']['name']}", bug)
        else:
            self._look_after(event.obj, ())

    def _gone(self, uid: str) -> None:
        if worker := self._workers.get(uid):
            worker.vanished()


def _runs(containers: Sequence[ContainerState]) -> bool:
    return any(state.exit is None for state in containers)
