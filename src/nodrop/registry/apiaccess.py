"""How a pod reaches the API as its service account: a volume with token, authority and namespace.

Source: upstream's admission plugin ServiceAccount. Other than there, a pod whose account does not
exist is admitted, and gets none: namespaces have no account called ``default`` of themselves, so
ordinary pods cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nodrop.model.kinds import SERVICEACCOUNT
from nodrop.model.meta import Obj, ObjectKey, is_deleting
from nodrop.model.serviceaccount import ROOT_CA, TOKEN_FOLDER, TOKEN_VOLUME

#: Upstream's: an hour, and a little that tells these tokens from those asked for by hand.
_LIFE_S = 3607


def mounts_token(pod: Obj, account: Obj | None) -> bool:
    """Whether the pod shall find a token of its account."""
    if account is None or is_deleting(account):
        return False
    for holder in (pod["spec"], account):
        if (wanted := holder.get("automountServiceAccountToken")) is not None:
            return bool(wanted)
    return True


def account_key(pod: Obj) -> ObjectKey:
    """The account that the pod runs as."""
    name = pod["spec"].get("serviceAccountName") or "default"
    return ObjectKey(SERVICEACCOUNT, pod["metadata"]["namespace"], name)


def add_token(pod: Obj, suffix: Callable[[], str]) -> bool:
    """Mount a token where a container has nothing at that path; whether any has now (in place)."""
    lacking = [one for one in _containers(pod) if not _has_mount(one)]
    if not lacking:
        return False
    volume = f"{TOKEN_VOLUME}{suffix()}"
    mount = {"name": volume, "mountPath": TOKEN_FOLDER, "readOnly": True}
    for container in lacking:
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), dict(mount)]
    spec = pod["spec"]
    spec["volumes"] = [*(spec.get("volumes") or ()), _volume(volume)]
    return True


def root_ca(namespace: str, pem: str) -> Obj:
    """The ConfigMap with the certificate by which pods know the API server."""
    metadata = {"name": ROOT_CA, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"ca.crt": pem},
    }


# Private


def _containers(pod: Obj) -> Iterator[Obj]:
    yield from pod["spec"].get("initContainers") or ()
    yield from pod["spec"].get("containers") or ()


def _has_mount(container: Obj) -> bool:
    mounts = container.get("volumeMounts") or ()
    return any(mount.get("mountPath") == TOKEN_FOLDER for mount in mounts)


def _volume(name: str) -> Obj:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources: list[Obj] = [
        {"serviceAccountToken": {"expirationSeconds": _LIFE_S, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]
    return {"name": name, "projected": {"defaultMode": 0o644, "sources": sources}}
