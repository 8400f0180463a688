"""What runs now, as far as a plan needs it: read through the API, made again in the simulation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nodrop.client.protocol import Client, Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import (
    CONFIGMAP,
    INGRESS,
    INGRESSCLASS,
    NAMESPACE,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    SECRET,
    SERVICE,
    Kind,
)
from nodrop.model.meta import Obj, ObjectKey, controller_of, uid_of
from nodrop.plan.assumptions import Assumptions, StartUp
from nodrop.plan.history import observed_startup

#: What a pod's life depends on beside its Deployment.
_AROUND: tuple[Kind, ...] = (
    CONFIGMAP, SECRET, SERVICE, INGRESSCLASS, INGRESS, PODDISRUPTIONBUDGET,
)  # fmt: skip
_OF_THE_SERVER = ("deployment.kubernetes.io/",)


@dataclass(frozen=True, slots=True)
class Live:
    """Namespaces and what is around, the Deployments that are there, and what their pods tell."""

    around: tuple[Obj, ...]
    deployments: tuple[Obj, ...]
    observed: Mapping[ObjectKey, StartUp]

    def with_observed(self, assumed: Assumptions) -> Assumptions:
        return replace(assumed, observed=self.observed)


async def fetch(client: Client, deployments: Sequence[ObjectKey]) -> Live:
    """Read it. Raises ApiError."""
    around: list[Obj] = []
    namespaces = dict.fromkeys(key.namespace for key in deployments)
    around += (await client.list(NAMESPACE)).items
    for kind in _AROUND:
        scopes = [Scope(namespace) for namespace in namespaces] if kind.namespaced else [Scope()]
        for scope in scopes:
            around += (await client.list(kind, scope)).items
    found = [obj for key in deployments if (obj := await _get(client, key)) is not None]
    observed: dict[ObjectKey, StartUp] = {}
    for key, obj in ((ObjectKey(deployments[0].kind, *_place(o)), o) for o in found):
        if (startup := observed_startup(await _pods(client, obj, key.namespace))) is not None:
            observed[key] = startup
    return Live(tuple(around), tuple(found), observed)


def creations(live: Live) -> Iterator[Obj]:
    """The objects as someone would create them: without what the server writes."""
    for obj in (*live.around, *live.deployments):
        yield _plain(obj)


# Private


def _place(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


async def _get(client: Client, key: ObjectKey) -> Obj | None:
    try:
        return await client.get(key)
    except ApiError as error:
        if error.code == 404:
            return None
        raise


async def _pods(client: Client, deployment: Obj, namespace: str) -> Iterable[Obj]:
    """The pods of all its ReplicaSets."""
    uid = uid_of(deployment)
    sets = (await client.list(REPLICASET, Scope(namespace))).items
    owned = {uid_of(one) for one in sets if (controller_of(one) or {}).get("uid") == uid}
    pods = (await client.list(POD, Scope(namespace))).items
    return [pod for pod in pods if (controller_of(pod) or {}).get("uid") in owned]


def _plain(obj: Obj) -> Obj:
    meta = obj["metadata"]
    kept: dict[str, Any] = {
        key: meta[key] for key in ("name", "namespace", "labels") if key in meta
    }
    annotations = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if not key.startswith(_OF_THE_SERVER)
    }
    if annotations:
        kept["annotations"] = annotations
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": kept}
