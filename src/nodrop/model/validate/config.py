"""Rules for ConfigMaps and Secrets: keys, sizes, types, and immutability."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj, annotations_of
from nodrop.model.validate.causes import forbidden, immutable, invalid, required, too_long
from nodrop.model.validate.names import config_key

MOST_BYTES = 1024 * 1024
_SEALED = "field is immutable when `immutable` is set"
_NEEDED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_ACCOUNT = "kubernetes.io/service-account.name"


def validate_configmap(obj: Obj) -> list[Cause]:
    """Causes for a ConfigMap."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    causes = _keys(data, "data")
    for key in data:
        if key in binary:
            text = "duplicate of key present in binaryData"
            causes.append(invalid(f"data[{key}]", key, text))
    causes += _keys(binary, "binaryData")
    total_bytes = sum(len(text.encode()) for text in data.values())
    total_bytes += sum(_decoded_bytes(text) for text in binary.values())
    return causes + ([too_long("", MOST_BYTES)] if total_bytes > MOST_BYTES else [])


def validate_secret(obj: Obj) -> list[Cause]:
    """Causes for a Secret, with the keys that its type needs."""
    data, kind = obj.get("data") or {}, obj.get("type", "")
    causes = _keys(data, "data")
    if sum(_decoded_bytes(text) for text in data.values()) > MOST_BYTES:
        causes.append(too_long("data", MOST_BYTES))
    causes += [required(f"data[{key}]") for key in _NEEDED_KEYS.get(kind, ()) if key not in data]
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        causes += [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/service-account-token" and not annotations_of(obj).get(_ACCOUNT):
        causes.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    return causes


def _keys(keys: Iterable[str], path: str) -> list[Cause]:
    return [invalid(f"{path}[{key}]", key, text) for key in keys for text in config_key(key)]


def _decoded_bytes(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return len(text)


def validate_configmap_update(new: Obj, old: Obj) -> list[Cause]:
    return _sealed(new, old, ("data", "binaryData"))


def validate_secret_update(new: Obj, old: Obj) -> list[Cause]:
    return immutable("type", new.get("type"), old.get("type")) + _sealed(new, old, ("data",))


def _sealed(new: Obj, old: Obj, fields: Iterable[str]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = [] if new.get("immutable") else [forbidden("immutable", _SEALED)]
    causes += [
        forbidden(field, _SEALED)
        for field in fields
        if (new.get(field) or {}) != (old.get(field) or {})
    ]
    return causes
