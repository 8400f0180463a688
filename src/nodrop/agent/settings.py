"""What the agent is told at its start, and what every pod of it shares."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal

from nodrop.agent.api_access import ApiAccess, NoAccess
from nodrop.agent.folders import PodFolders
from nodrop.agent.observer import AgentObserver, Unobserved
from nodrop.agent.plan.addresses import AddressPool
from nodrop.agent.probers.protocol import Prober
from nodrop.agent.runtime.protocol import ContainerState, Runtime
from nodrop.agent.traffic import Traffic
from nodrop.agent.volumes import VolumeStore
from nodrop.client.actions import Emit
from nodrop.client.cache import Cache
from nodrop.client.protocol import Client
from nodrop.clock import Clock
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.meta import Obj

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The node and what its processes inherit.

    ``base_dir`` is where relative paths of a pod begin that has no base-dir annotation.
    ``acknowledged`` False is what a cluster does: hooks and SIGTERM at once, without waiting for
    the proxy, and no probe between the ticks of its period. ``tells_steps``: an Event for each
    step of a pod's end (rehearsals).
    ``path``, ``home`` and ``lang`` become PATH, HOME and LANG. ``cpus`` and
    ``memory_bytes`` are what resourceFieldRef gives where no limit is set.
    """

    node: str
    pod_cidr: str
    base_dir: str
    path: str
    home: str
    lang: str = "C.UTF-8"
    host_ip: str = "127.0.0.1"
    acknowledged: bool = True
    tells_steps: bool = False
    cpus: int = 1
    memory_bytes: int = 0


@dataclass(slots=True)
class Host:
    """The node as its pods see it. ``redirects`` turns False for good when the kernel refuses to
    move wildcard binds: from then on containers get POD_IP."""

    client: Client
    cache: Cache
    runtime: Runtime
    prober: Prober
    traffic: Traffic
    clock: Clock
    folders: PodFolders
    settings: AgentSettings
    addresses: AddressPool
    volumes: VolumeStore
    observer: AgentObserver = field(default_factory=Unobserved)
    api: ApiAccess = field(default_factory=NoAccess)
    redirects: bool = True

    async def containers_of(self, uid: str) -> list[ContainerState]:
        return await self.runtime.list(uid)

    async def emit(
        self, pod: Obj, kind: Literal["Normal", "Warning"], reason: Reason, message: str
    ) -> None:
        """Record an Event. Events are best effort: one that fails is logged and stops nothing."""
        try:
            await self.client.apply(Emit(pod, kind, reason, message))
        except ApiError as error:
            log.warning("event %s %r was not recorded: %s", reason, message, error)
