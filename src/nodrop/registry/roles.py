"""The roles that every engine has: cluster-admin, admin, edit and view. Pure.

They are upstream's user-facing roles, cut to the kinds that are served: *view* reads all but
Secrets and roles, *edit* writes workloads and reads Secrets, *admin* also hands out rights in its
namespace, *cluster-admin* may do everything.
"""

from __future__ import annotations

from nodrop.model.meta import Obj
from nodrop.model.rbac import GROUP, MASTERS

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_CORE = (
    "configmaps",
    "endpoints",
    "events",
    "namespaces",
    "pods",
    "pods/log",
    "pods/status",
    "serviceaccounts",
    "services",
    "services/status",
)
_APPS = (
    "deployments",
    "deployments/scale",
    "deployments/status",
    "replicasets",
    "replicasets/scale",
    "replicasets/status",
)
_READABLE = {
    "": _CORE,
    "apps": _APPS,
    "coordination.k8s.io": ("leases",),
    "discovery.k8s.io": ("endpointslices",),
    "events.k8s.io": ("events",),
    "metrics.k8s.io": ("pods", "nodes"),
    "networking.k8s.io": ("ingresses", "ingresses/status", "ingressclasses"),
    "policy": ("poddisruptionbudgets", "poddisruptionbudgets/status"),
}
_WRITABLE = {
    "": ("configmaps", "endpoints", "events", "pods", "secrets", "serviceaccounts", "services"),
    "apps": ("deployments", "deployments/scale", "replicasets", "replicasets/scale"),
    "coordination.k8s.io": ("leases",),
    "discovery.k8s.io": ("endpointslices",),
    "events.k8s.io": ("events",),
    "networking.k8s.io": ("ingresses",),
    "policy": ("poddisruptionbudgets",),
}
_IN_PODS = ("pods/attach", "pods/eviction", "pods/exec", "pods/portforward")


def initial_roles() -> tuple[Obj, ...]:
    """ClusterRoles, and the binding of cluster-admin to the group of masters."""
    everything = [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]
    view = [_rule(group, names, _READ) for group, names in _READABLE.items()]
    edit = [
        *view,
        _rule("", ("secrets",), _READ),
        *(_rule(group, names, _WRITE) for group, names in _WRITABLE.items()),
        _rule("", _IN_PODS, ("create", "get")),
        _rule("", ("serviceaccounts/token",), ("create",)),
        _rule("", ("serviceaccounts",), ("impersonate",)),
    ]
    admin = [
        *edit,
        _rule(GROUP, ("roles", "rolebindings"), (*_READ, *_WRITE)),
        _rule("authorization.k8s.io", ("localsubjectaccessreviews",), ("create",)),
    ]
    return (
        _role("cluster-admin", everything),
        _role("admin", admin),
        _role("edit", edit),
        _role("view", view),
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "cluster-admin", "labels": dict(_LABELS)},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": MASTERS}],
        },
    )


# Private

_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def _role(name: str, rules: list[Obj]) -> Obj:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": dict(_LABELS)},
        "rules": rules,
    }


def _rule(group: str, resources: tuple[str, ...], verbs: tuple[str, ...]) -> Obj:
    return {"apiGroups": [group], "resources": list(resources), "verbs": sorted(verbs)}
