"""What the registry, not the client, decides about metadata: names, identity, generation. Pure."""

from __future__ import annotations

import random
import uuid
from datetime import datetime
from typing import Any

from nodrop.model.errors import ApiError, Cause, bad_request, conflict, invalid
from nodrop.model.kinds import (
    CUSTOMRESOURCEDEFINITION,
    DEPLOYMENT,
    INGRESS,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    Kind,
    kind_of,
)
from nodrop.model.meta import Obj, ObjectKey, annotations_of, format_time, is_deleting

#: Letters and digits that spell no words, as upstream's generated names use.
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
#: A generated name's base is cut so that the whole fits a DNS label of 63.
_LONGEST_BASE = 63 - _SUFFIX_LENGTH

#: Kinds whose generation counts changes of ``spec``.
_GENERATIONS = frozenset(
    {DEPLOYMENT, REPLICASET, POD, INGRESS, PODDISRUPTIONBUDGET, CUSTOMRESOURCEDEFINITION}
)
#: What an update can't change: it stays as it was set by the registry.
_OWNED_BY_REGISTRY = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


def random_name(base: str, rng: random.Random) -> str:
    """``base`` with five random characters behind it."""
    suffix = "".join(rng.choice(NAME_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    return base[:_LONGEST_BASE] + suffix


def random_uid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def check_identity(kind: Kind, namespace: str, name: str | None, obj: Obj) -> None:
    """Fill in kind and namespace from the address; raise 400 where ``obj`` contradicts it."""
    meta = obj.setdefault("metadata", {})
    if not isinstance(meta, dict):
        raise bad_request("metadata: expected an object")
    for field, expected in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        found = obj.setdefault(field, expected)
        if found != expected:
            raise bad_request(
                f"the object provided is {obj.get('apiVersion')} {obj.get('kind')}, "
                f"this address serves {kind.api_version} {kind.kind}"
            )
    _check_namespace(kind, namespace, meta)
    if name is not None and meta.setdefault("name", name) != name:
        raise bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
        )


def prepare_create(obj: Obj, *, now: datetime, rng: random.Random) -> None:
    """Give a new object its identity. Raises 400 when it claims to be stored already."""
    meta = obj["metadata"]
    if meta.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for field in (*_OWNED_BY_REGISTRY, "selfLink", "resourceVersion"):
        meta.pop(field, None)
    meta["uid"] = random_uid(rng)
    meta["creationTimestamp"] = format_time(now)
    if _kind_counts(obj):
        meta["generation"] = 1


def prepare_update(key: ObjectKey, obj: Obj, stored: Obj) -> None:
    """Carry over what only the registry sets. Raises 409 for another uid or a stale version."""
    meta, before = obj["metadata"], stored["metadata"]
    if meta.get("uid") not in (None, "", before["uid"]):
        raise conflict(
            key.kind,
            key.name,
            f"Precondition failed: UID in precondition: {meta['uid']}, "
            f"UID in object meta: {before['uid']}",
        )
    if meta.get("resourceVersion") not in (None, "", before["resourceVersion"]):
        raise conflict(key.kind, key.name)
    meta.pop("selfLink", None)
    for field in (*_OWNED_BY_REGISTRY, "resourceVersion"):
        meta.pop(field, None)
        if field in before:
            meta[field] = before[field]
    _check_finalizers(key, meta, stored)


def count_generation(obj: Obj, stored: Obj) -> None:
    """Bump ``generation`` when what the client desires has changed.

    That is ``spec``, and for Deployments annotations too; labels never.
    """
    if not _kind_counts(obj):
        return
    changed = _desired(obj) != _desired(stored)
    if obj["kind"] == DEPLOYMENT.kind:
        changed = changed or annotations_of(obj) != annotations_of(stored)
    if changed:
        obj["metadata"]["generation"] = stored["metadata"].get("generation", 0) + 1


# Private


def _desired(obj: Obj) -> Obj:
    """What a client desires: the spec, or whatever else a custom kind has."""
    if kind_of(obj["apiVersion"], obj["kind"]) is not None:
        return obj.get("spec") or {}
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _kind_counts(obj: Obj) -> bool:
    kind = kind_of(obj["apiVersion"], obj["kind"])
    return kind is None or kind in _GENERATIONS  # those of custom kinds always count


def _check_namespace(kind: Kind, namespace: str, meta: dict[str, Any]) -> None:
    if not kind.namespaced:
        meta.pop("namespace", None)
        return
    found = meta.get("namespace") or namespace
    if found != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
            f" ({found}, {namespace})"
        )
    meta["namespace"] = namespace


def _check_finalizers(key: ObjectKey, meta: dict[str, Any], stored: Obj) -> None:
    if not is_deleting(stored):
        return
    present = stored["metadata"].get("finalizers") or []
    if added := [one for one in meta.get("finalizers") or [] if one not in present]:
        why = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers {added}"
        )
        raise invalid(
            key.kind, key.name, [Cause("metadata.finalizers", "FieldValueForbidden", why)]
        )


def missing_name(kind: Kind) -> ApiError:
    """The error for an object with neither name nor generateName."""
    why = "Required value: name or generateName is required"
    return invalid(kind, "", [Cause("metadata.name", "FieldValueRequired", why)])
