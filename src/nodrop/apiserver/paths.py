"""URL paths: which object or collection a request is about; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from nodrop.model.kinds import NAMESPACE, Kind, kind_for_resource
from nodrop.model.meta import ObjectKey

#: The kind of a group, version and resource, or None.
FindKind: TypeAlias = Callable[[str, str, str], Kind | None]
#: Subresources of pods whose connections become streams.
STREAMED = frozenset({"exec", "attach", "portforward"})
#: Subresources that clusters have: what a person knows them as.
_UNSERVED = {
    ("pods", "proxy"): "proxy",
    ("services", "proxy"): "proxy",
    ("pods", "ephemeralcontainers"): "debug with ephemeral containers",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a collection (no name), an object, or a subresource of it.

    ``namespace`` is None for a collection across all namespaces and for cluster-scoped kinds.
    """

    kind: Kind
    namespace: str | None = None
    name: str = ""
    subresource: str | None = None

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.kind, self.namespace or "", self.name)


def parse_path(path: str, find: FindKind = kind_for_resource) -> Target | None:
    """The target of ``/api/v1/…`` or ``/apis/<group>/<version>/…``; None when nothing is there.

    ``find`` knows the served kinds; by default those that are built in.

    A single ``/watch/`` after the version (the old way to ask for a watch) is not served.
    """
    parts = path.strip("/").split("/")
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if not rest or not all(rest):
        return None
    if rest[0] == "namespaces" and not group and not _is_inside_namespace(rest):
        return _target(NAMESPACE, None, rest[1:])
    if rest[0] == "namespaces" and len(rest) > 2:
        kind = find(group, version, rest[2])
        return _target(kind, rest[1], rest[3:]) if kind and kind.namespaced else None
    kind = find(group, version, rest[0])
    if kind is None or (kind.namespaced and len(rest) > 1):
        return None
    return _target(kind, None, rest[1:])


def unserved_feature(path: str) -> str:
    """What kubectl would do at a path that is not served, where nodrop knows it; else "".

    >>> unserved_feature("/api/v1/namespaces/default/pods/web-1/proxy")
    'proxy'
    """
    parts = path.strip("/").split("/")
    if parts[:3] == ["api", "v1", "namespaces"] and len(parts) >= 7:
        return _UNSERVED.get((parts[4], parts[6]), "")
    return ""


def _is_inside_namespace(rest: list[str]) -> bool:
    return len(rest) > 2 and rest[2] not in NAMESPACE.subresources


def _target(kind: Kind, namespace: str | None, rest: list[str]) -> Target | None:
    match rest:
        case []:
            return Target(kind, namespace)
        case [name]:
            return Target(kind, namespace, name)
        case [name, subresource] if subresource in kind.subresources:
            return Target(kind, namespace, name, subresource)
        case _:
            return None
