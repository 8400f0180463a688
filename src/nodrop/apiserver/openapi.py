"""OpenAPI v3: an index and one document a group, from the schemas in model/openapi.json.

All of them together are the v2 document (swagger.py).

kubectl looks for three things: the schema of a kind (by its group-version-kind extension), a
PATCH operation of that kind with a ``fieldValidation`` query parameter, and the patch merge keys.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import Any

import msgspec

from nodrop.apiserver import swaggerpb
from nodrop.apiserver.discovery import GIT_VERSION
from nodrop.apiserver.swagger import swagger
from nodrop.model.catalogue import Catalogue
from nodrop.model.custom.resource import openapi_schema
from nodrop.model.kinds import FORMS, KINDS, Kind
from nodrop.model.meta import Obj

_GVK = "x-kubernetes-group-version-kind"
_SWAGGER = "swagger"
_DESCRIPTIONS = "descriptions.json"
_REFERENCE = "#/components/schemas/"
_PATCH_MEDIA_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")
_LIST_PARAMETERS = (
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
    "allowWatchBookmarks",
)


class OpenApi:
    """Documents, made when first asked for: an engine that no kubectl asks keeps none."""

    def __init__(self, kinds: Catalogue | None = None) -> None:
        """``kinds`` knows the custom ones; what says nothing of them is kept for ever."""
        self._kinds = kinds or Catalogue()
        #: Compressed: a fifth of what kubectl, which keeps its own copy, asks for once.
        self._documents: dict[str, bytes] = {}
        self._described: tuple[Kind, ...] = ()
        self._custom_documents: dict[str, bytes] = {}

    def index(self) -> Obj:
        """``/openapi/v3``. The hash lets kubectl keep what it has."""
        built_in, custom = _digest(_file() + _file(_DESCRIPTIONS)), self._custom_paths()
        digests = dict.fromkeys(_group_paths(), built_in)
        for path in custom:
            digests[path] = _digest(self.document(path) or b"")
        return {
            "paths": {
                path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
                for path, digest in digests.items()
            }
        }

    def document(self, path: str) -> bytes | None:
        """``/openapi/v3/<path>`` as JSON, or None. ``path`` is ``api/v1``, ``apis/apps/v1`` …"""
        if path in self._custom_paths():
            return self._custom(path, lambda kinds: _build(path, kinds))
        if path not in _group_paths():
            return None
        if path not in self._documents:
            self._documents[path] = zlib.compress(msgspec.json.encode(_build(path)))
        return zlib.decompress(self._documents[path])

    def swagger(self) -> bytes:
        """``/openapi/v2`` as JSON: all groups in one document."""
        return self._custom(_SWAGGER, lambda _: swagger(self._all()))

    def swagger_protobuf(self) -> bytes:
        """``/openapi/v2`` in protobuf: what older kubectls look for."""
        return swaggerpb.document(msgspec.json.decode(self.swagger()))

    def _all(self) -> Iterator[Obj]:
        """Without what fields are for: who asks for v2 wants to know which there are."""
        for path in dict.fromkeys((*_group_paths(), *self._custom_paths())):
            yield _build(path, self._kinds.custom, described=False)

    def _custom(self, path: str, build: Callable[[tuple[Kind, ...]], Obj]) -> bytes:
        """A document that tells of custom kinds, kept until one of them changes."""
        kinds = tuple(self._kinds.custom)
        if not _same(kinds, self._described):
            self._described, self._custom_documents = kinds, {}
        if path not in self._custom_documents:
            self._custom_documents[path] = msgspec.json.encode(build(kinds))
        return self._custom_documents[path]

    def _custom_paths(self) -> list[str]:
        return list(dict.fromkeys(_group_path(kind) for kind in self._kinds.custom))


# Private


def _same(kinds: tuple[Kind, ...], others: tuple[Kind, ...]) -> bool:
    """Whether these are the very same; two versions of one custom kind are equal."""
    return [*map(id, kinds)] == [*map(id, others)]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content + GIT_VERSION.encode()).hexdigest()[:32].upper()


def _file(name: str = "openapi.json") -> bytes:
    return resources.files("nodrop.model").joinpath(name).read_bytes()


def _group_path(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else "api/v1"


def _group_paths() -> list[str]:
    return list(dict.fromkeys(_group_path(kind) for kind in (*KINDS, *FORMS)))


def _build(path: str, custom: Iterable[Kind] = (), *, described: bool = True) -> Obj:
    source = _definitions()
    if described:
        _describe(source)
    source |= {_custom_name(kind): openapi_schema(kind) for kind in custom}
    kinds = [kind for kind in (*KINDS, *FORMS, *custom) if _group_path(kind) == path]
    names = {kind: _schema_name(kind, source) for kind in kinds}
    paths: Obj = {}
    for kind in kinds:
        paths |= _paths(kind, names[kind])
    return {
        "openapi": "3.0.0",
        "info": {"title": "nodrop", "version": GIT_VERSION},
        "paths": paths,
        "components": {"schemas": _reachable(set(names.values()), source)},
    }


def _definitions() -> dict[str, Obj]:
    found: dict[str, Obj] = msgspec.json.decode(_file())["schemas"]
    return found


def _describe(source: dict[str, Obj]) -> None:
    """Add to each definition what it and its fields are for (in place)."""
    for name, said in msgspec.json.decode(_file(_DESCRIPTIONS))["descriptions"].items():
        for field, text in said.items():
            schema = source[name]["properties"][field] if field else source[name]
            schema["description"] = text


def _custom_name(kind: Kind) -> str:
    """As upstream: the group backwards, version and kind."""
    return ".".join((*reversed(kind.group.split(".")), kind.version, kind.kind))


def _schema_name(kind: Kind, source: dict[str, Obj]) -> str:
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    for name, schema in source.items():
        if wanted in (schema.get(_GVK) or ()):
            return name
    raise KeyError(f"model/openapi.json has no schema for {kind}")


def _reachable(wanted: set[str], source: dict[str, Obj]) -> dict[str, Obj]:
    """The schemas named in ``wanted`` and all that they refer to."""
    found: dict[str, Obj] = {}
    waiting = sorted(wanted)
    while waiting:
        name = waiting.pop()
        if name in found or name not in source:
            continue
        referred: set[str] = set()
        found[name] = _as_v3(source[name], referred)
        waiting += sorted(referred - found.keys())
    return found


def _as_v3(node: Any, referred: set[str]) -> Any:
    """A schema with references as OpenAPI v3 writes them, whose names go into ``referred``.

    Beside ``$ref`` v3 allows nothing, so siblings move into an ``allOf``, as upstream does.
    """
    if isinstance(node, list):
        return [_as_v3(item, referred) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return {key: _as_v3(value, referred) for key, value in node.items()}
    name = reference.removeprefix(_REFERENCE)
    referred.add(name)
    target = {"$ref": f"{_REFERENCE}{name}"}
    siblings = {key: value for key, value in node.items() if key != "$ref"}
    return {**siblings, "allOf": [target]} if siblings else target


def _paths(kind: Kind, schema: str) -> Obj:
    root = f"/{_group_path(kind)}"
    collection = f"{root}/namespaces/{{namespace}}" if kind.namespaced else root
    collection = f"{collection}/{kind.plural}"
    path_parameters = [_parameter("namespace", "path")] if kind.namespaced else []
    one = [_parameter("name", "path"), *path_parameters]
    return {
        collection: {
            "get": _operation(kind, "list", schema, _LIST_PARAMETERS),
            "post": _operation(kind, "post", schema, _WRITE_PARAMETERS, ("application/json",)),
            "parameters": path_parameters,
        },
        f"{collection}/{{name}}": {
            "get": _operation(kind, "get", schema, ()),
            "put": _operation(kind, "put", schema, _WRITE_PARAMETERS, ("application/json",)),
            "patch": _operation(kind, "patch", schema, _WRITE_PARAMETERS, _PATCH_MEDIA_TYPES),
            "delete": _operation(kind, "delete", schema, ("dryRun", "gracePeriodSeconds")),
            "parameters": one,
        },
    }


def _operation(
    kind: Kind,
    action: str,
    schema: str,
    query: tuple[str, ...],
    body: tuple[str, ...] = (),
) -> Obj:
    reference = {"schema": {"$ref": f"{_REFERENCE}{schema}"}}
    operation: Obj = {
        "operationId": f"{action}{_family(kind)}{kind.kind}",
        "parameters": [_parameter(name, "query") for name in query],
        "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
        "x-kubernetes-action": action,
        _GVK: {"group": kind.group, "version": kind.version, "kind": kind.kind},
    }
    if body:
        shape = {"schema": {"type": "object"}} if action == "patch" else reference
        operation["requestBody"] = {"content": dict.fromkeys(body, shape)}
    return operation


def _family(kind: Kind) -> str:
    """``AppsV1``: two groups may have a kind of the same name."""
    group = kind.group.partition(".")[0] or "core"
    return f"{group.title()}{kind.version.title()}"


def _parameter(name: str, place: str) -> Obj:
    parameter: Obj = {
        "name": name,
        "in": place,
        "schema": {"type": "string", "uniqueItems": True},
    }
    return {**parameter, "required": True} if place == "path" else parameter
