"""Tells as Events what the data plane can't do, once for every new reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nodrop.client.actions import Emit
from nodrop.client.protocol import Client
from nodrop.clock import Clock
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.kinds import NODE
from nodrop.model.meta import Obj
from nodrop.proxy.expiry import plan_expiry
from nodrop.proxy.findings import Finding
from nodrop.proxy.pools import services_by_listener
from nodrop.proxy.protocol import Listener, ServicePort
from nodrop.proxy.sources import Sources

log = logging.getLogger(__name__)

_LOOK_EVERY = timedelta(hours=1)


@dataclass(slots=True)
class Reports:
    """Without ``client`` nothing is told, without ``clock`` not what expires. ``refused`` is what
    was told last of listeners."""

    client: Client | None
    node_addresses: Sequence[str]
    clock: Clock | None = None
    refused: Mapping[Listener, str] = field(default_factory=dict)
    _unserved: dict[Reason, Mapping[ServicePort, str]] = field(default_factory=dict)
    _findings: Collection[Finding] = ()
    _looked: datetime | None = None

    async def listeners(self, refused: Mapping[Listener, str], sources: Sources) -> None:
        """Service addresses that are not listened on."""
        new = {at: why for at, why in refused.items() if self.refused.get(at) != why}
        self.refused = refused
        if not new or self.client is None:
            return
        owners = services_by_listener(sources.services, self.node_addresses)
        for listener, why in sorted(new.items()):
            if (service := owners.get(listener)) is not None:
                await self._emit(service, Reason.PORT_UNAVAILABLE, why)

    async def pools(
        self,
        unserved: Mapping[ServicePort, str],
        sources: Sources,
        reason: Reason = Reason.UNSUPPORTED,
    ) -> None:
        """Services of which something is left out."""
        before = self._unserved.get(reason, {})
        new = {at: why for at, why in unserved.items() if before.get(at) != why}
        self._unserved[reason] = unserved
        if self.client is None:
            return
        for pool, why in sorted(new.items()):
            log.warning("%s: %s", pool, why)
            for service in sources.services:
                if pool[:2] == (service["metadata"].get("namespace"), service["metadata"]["name"]):
                    await self._emit(service, reason, why)

    async def ingresses(
        self, findings: Iterable[Finding], uncertified: Mapping[str, str], sources: Sources
    ) -> None:
        """What Ingresses ask for in vain; Secrets that the data plane refuses."""
        expiring = self._expiring(sources)
        present = {*findings, *_refused_secrets(uncertified, sources.ingresses), *expiring}
        new = sorted(present.difference(self._findings))
        self._findings = present
        if self.client is None:
            return
        for finding in new:
            log.warning("Ingress %s/%s: %s", finding.namespace, finding.ingress, finding.text)
            for ingress in sources.ingresses:
                if finding.concerns(ingress):
                    await self._emit(ingress, finding.reason, finding.text)

    def due(self) -> bool:
        """Whether certificates should be looked at again, though nothing has changed."""
        if self.clock is None or self._looked is None:
            return False
        return abs(self.clock.now() - self._looked) >= _LOOK_EVERY

    def _expiring(self, sources: Sources) -> list[Finding]:
        if self.clock is None:
            return []
        self._looked = self.clock.now()
        return plan_expiry(sources.ingresses, sources.classes, sources.secrets, self._looked)

    async def _emit(self, obj: Obj, reason: Reason, why: str) -> None:
        if self.client is None:
            return
        try:
            await self.client.apply(Emit(obj, "Warning", reason, why))
        except ApiError as error:
            log.warning("can't record an Event (%s): %s", why, error)


async def report_cuts(cuts: asyncio.Queue[str], client: Client) -> None:
    """Tell as Events of the Node what the data plane had to cut by itself, until cancelled."""
    while True:
        text = await cuts.get()
        try:
            for node in (await client.list(NODE)).items:
                await client.apply(Emit(node, "Warning", Reason.DRAIN_CUT, text))
        except ApiError as error:
            log.warning("can't record an Event (%s): %s", text, error)


def _refused_secrets(why: Mapping[str, str], ingresses: Iterable[Obj]) -> Iterator[Finding]:
    for ingress in ingresses if why else ():
        namespace = ingress["metadata"].get("namespace", "")
        for index, entry in enumerate((ingress.get("spec") or {}).get("tls") or ()):
            name = entry.get("secretName")
            if (reason := why.get(f"{namespace}/{name}")) is not None:
                text = f'spec.tls[{index}].secretName: Invalid value: "{name}": {reason}'
                yield Finding.about(ingress, Reason.CERTIFICATE_UNAVAILABLE, text)
