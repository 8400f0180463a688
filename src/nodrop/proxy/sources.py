"""The API objects that a routing table is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from nodrop.model.meta import Obj
from nodrop.proxy.external import Answer
from nodrop.proxy.protocol import Certificate, ServicePort


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All that a table is made of. Pods are named by uid.

    ``terminating`` pods are being ended though their slices may not say so yet; ``barred`` ones
    get no traffic whatever the slices say. ``served`` are pools that had a pod a moment ago.
    ``certificates`` and ``authorities`` (by Secret) are in use now. ``node_addresses`` are where
    NodePorts are listened on, ``ingress_ports`` where the Ingress is. ``answers`` are the hosts
    that were looked up.
    """

    services: Sequence[Obj] = ()
    slices: Sequence[Obj] = ()
    ingresses: Sequence[Obj] = ()
    classes: Sequence[Obj] = ()
    secrets: Sequence[Obj] = ()
    certificates: Collection[Certificate] = ()
    terminating: Collection[str] = frozenset()
    barred: Collection[str] = frozenset()
    served: Collection[ServicePort] = frozenset()
    node_addresses: Sequence[str] = ("127.0.0.1",)
    ingress_ports: Collection[int] = ()
    authorities: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
