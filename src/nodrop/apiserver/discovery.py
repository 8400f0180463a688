"""What is served: the legacy and the aggregated discovery documents, and the version; pure."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from itertools import groupby

from nodrop.model.kinds import FORMS, KINDS, MEASURED, REVIEWS, Kind
from nodrop.model.meta import Obj

#: The API level that we speak for, as kubectl's version skew check reads it.
GIT_VERSION = "v1.33.0+nodrop"

AGGREGATED_VERSIONS = ("v2", "v2beta1")
#: All that can be asked for at an address of its own.
_SERVED = (*KINDS, *FORMS, *MEASURED, *REVIEWS)
_SUBRESOURCE_VERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "finalize": ("update",),
    "log": ("get",),
    "eviction": ("create",),
    "exec": ("create", "get"),
    "attach": ("create", "get"),
    "portforward": ("create", "get"),
    "token": ("create",),
}
#: Subresources that speak of another kind than their object. kubectl drain looks for Eviction.
_SUBRESOURCE_KINDS = {
    "scale": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
    "eviction": {"group": "policy", "version": "v1", "kind": "Eviction"},
    "exec": {"group": "", "version": "v1", "kind": "PodExecOptions"},
    "attach": {"group": "", "version": "v1", "kind": "PodAttachOptions"},
    "portforward": {"group": "", "version": "v1", "kind": "PodPortForwardOptions"},
    "token": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"},
}


def version() -> Obj:
    """``/version``."""
    system, machine = platform.system().lower(), platform.machine()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return {
        "major": "1",
        "minor": "33",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": f"python{platform.python_version()}",
        "platform": f"{system}/{machine}",
    }


def core_versions(server_address: str) -> Obj:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}
        ],
    }


def group_list(custom: Iterable[Kind] = ()) -> Obj:
    """``/apis``. ``custom`` are the kinds that are served besides the built-in ones, everywhere."""
    served = (*_SERVED, *custom)
    groups = [_group(group, served) for group in _groups(served) if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(name: str, custom: Iterable[Kind] = ()) -> Obj | None:
    """``/apis/<group>``, or None."""
    served = (*_SERVED, *custom)
    if not name or name not in _groups(served):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, served)}


def resource_list(group_name: str, version_name: str, custom: Iterable[Kind] = ()) -> Obj | None:
    """``/api/v1`` and ``/apis/<group>/<version>``, or None."""
    wanted = (group_name, version_name)
    kinds = [kind for kind in (*_SERVED, *custom) if (kind.group, kind.version) == wanted]
    if not kinds:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": [entry for kind in kinds for entry in _resources(kind)],
    }


def aggregated(custom: Iterable[Kind] = (), *, core: bool, version: str) -> Obj:
    """An APIGroupDiscoveryList for ``/api`` (``core``) or ``/apis``."""
    served = (*_SERVED, *custom)
    groups = [group for group in _groups(served) if (not group) == core]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_aggregated_group(group, served) for group in groups],
    }


def wanted_aggregate(accept: str) -> str | None:
    """Which version of aggregated discovery ``accept`` asks for first, or None for the legacy."""
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        if media != "application/json":
            continue
        if parameters.get("as") != "APIGroupDiscoveryList":
            return None
        if (
            parameters.get("g") == "apidiscovery.k8s.io"
            and parameters.get("v") in AGGREGATED_VERSIONS
        ):
            return parameters["v"]
    return None


def aggregated_content_type(version: str) -> str:
    """The answer's Content-Type repeats the parameters; kubectl decides by them."""
    return f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


# Private


def _groups(served: Iterable[Kind]) -> list[str]:
    """The groups in the order of the table, the core group (empty) first."""
    return list(dict.fromkeys(kind.group for kind in served))


def _group(name: str, served: Iterable[Kind]) -> Obj:
    versions = dict.fromkeys(kind.version for kind in served if kind.group == name)
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resources(kind: Kind) -> list[Obj]:
    main: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.categories:
        main["categories"] = list(kind.categories)
    return [main] + [_subresource(kind, name) for name in kind.subresources]


def _subresource(kind: Kind, name: str) -> Obj:
    entry: Obj = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(_SUBRESOURCE_VERBS[name]),
    }
    if name in _SUBRESOURCE_KINDS:
        entry |= _SUBRESOURCE_KINDS[name]
    return entry


def _aggregated_group(name: str, served: Iterable[Kind]) -> Obj:
    kinds = sorted((kind for kind in served if kind.group == name), key=lambda kind: kind.version)
    versions = [
        {
            "version": version,
            "resources": [_aggregated_resource(kind) for kind in of_version],
            "freshness": "Current",
        }
        for version, of_version in groupby(kinds, key=lambda kind: kind.version)
    ]
    return {"metadata": {"name": name} if name else {}, "versions": versions}


def _aggregated_resource(kind: Kind) -> Obj:
    entry: Obj = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind.group, kind.version, kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _SUBRESOURCE_KINDS.get(name)
                or _response_kind(kind.group, kind.version, kind.kind),
                "verbs": list(_SUBRESOURCE_VERBS[name]),
            }
            for name in kind.subresources
        ]
    return entry


def _response_kind(group_name: str, version_name: str, kind: str) -> Obj:
    return {"group": group_name, "version": version_name, "kind": kind}
