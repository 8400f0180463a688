"""The controllers of an engine."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.disruption.controller import DisruptionController
from nodrop.controllers.endpointslice.controller import EndpointSliceController
from nodrop.controllers.ingress.controller import IngressController
from nodrop.controllers.interface import Controller
from nodrop.controllers.replicaset.controller import ReplicaSetController


def all_controllers(
    places: Iterable[tuple[str, int]], *, hold_unprobed: bool = True
) -> tuple[Controller[Any], ...]:
    """One of each but the garbage collector, which ``wiring.garbage`` runs.

    ``places`` are the addresses and ports that the Ingress listens on.
    ``hold_unprobed``: see EndpointSliceController.
    """
    hosts, ports = zip(*places, strict=True)
    ports = tuple(sorted(set(ports)))
    return (
        DeploymentController(),
        ReplicaSetController(),
        EndpointSliceController(hold_unprobed=hold_unprobed),
        IngressController(address=_reachable(hosts), ports=ports),
        DisruptionController(),
    )


def _reachable(hosts: Sequence[str]) -> str:
    """The address to publish: one that others can reach, else loopback."""
    outside = [host for host in hosts if not ipaddress.ip_address(host).is_loopback]
    return (outside or list(hosts))[0]
