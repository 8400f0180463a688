"""OpenAPI v2 in protobuf, cut to what kubectl before 1.29 reads of it; pure.

Those versions ask for it before every apply or create, look whether the PATCH of the kind takes
``fieldValidation``, and give up where it can't be had. Schemas they take from v3, or know them.
Source of the numbers: OpenAPIv2.proto of gnostic.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nodrop.model.meta import Obj

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
#: How clients ask for it; the older name is none that a Content-Type may have.
ASKED_AS = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
_INFO = ("title", "version")
_GVK = "x-kubernetes-group-version-kind"


def document(swagger: Obj) -> bytes:
    """The Document of a v2 document: its version, its title, and its patch operations."""
    info = _part(2, *(_text(1 + at, swagger["info"][key]) for at, key in enumerate(_INFO)))
    items = swagger["paths"].items()
    paths = (_path(path, item["patch"]) for path, item in items if "patch" in item)
    return _text(1, swagger["swagger"]) + info + _part(8, *paths)


# Private


def _path(path: str, operation: Obj) -> bytes:
    patch = _part(8, _text(5, operation["operationId"]), *_parameters(operation), _gvk(operation))
    return _part(2, _text(1, path), _part(2, patch))  # NamedPathItem


def _parameters(operation: Obj) -> Iterator[bytes]:
    for parameter in operation["parameters"]:
        if parameter["in"] == "query":
            query = _text(2, "query") + _text(4, parameter["name"])
            yield _part(8, _part(1, _part(2, _part(3, query))))  # Operation.parameters …


def _gvk(operation: Obj) -> bytes:
    value = msgspec.json.encode(operation[_GVK]).decode()  # JSON is YAML
    return _part(13, _text(1, _GVK), _part(2, _text(2, value)))  # NamedAny


def _text(number: int, text: str) -> bytes:
    return _part(number, text.encode())


def _part(number: int, *parts: bytes) -> bytes:
    """A field of wire type 2: its length, then its bytes."""
    content = b"".join(parts)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
