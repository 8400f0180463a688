"""Request bodies: JSON, YAML and Kubernetes protobuf into objects, within a size limit."""

from __future__ import annotations

from typing import Any

import msgspec

from nodrop.model.errors import ApiError, bad_request
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj
from nodrop.model.schema import Findings, duplicate_fields
from nodrop.registry.interface import FieldValidation, PatchType

BODY_LIMIT_BYTES = 3 * 1024 * 1024
_JSON_TYPES = ("application/json", "", "text/plain", "application/octet-stream")

_PATCH_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


_OF_OBJECTS = {
    "merge": "a merge patch",
    "strategic": "a strategic patch",
    "apply": "what is applied",
}


def decode_object(body: bytes, content_type: str) -> Obj:
    """A JSON or YAML body that is an object. Raises ApiError 400 or 415."""
    decoded = _decode(body, content_type)
    if not isinstance(decoded, dict):
        raise bad_request("the body is not an object: send one JSON or YAML object")
    return decoded


def doubled_fields(
    kind: Kind, body: bytes, content_type: str, validation: FieldValidation
) -> tuple[str, ...]:
    """Warnings about fields that stand twice in a JSON body; the last one holds.

    Raises 400 for them when strict. YAML is not looked at: kubectl sends JSON whatever it reads.
    """
    if validation not in ("Strict", "Warn") or media_type(content_type) not in _JSON_TYPES:
        return ()
    try:
        doubled = duplicate_fields(body)
    except ValueError:  # a number of thousands of digits, which only the first decoder takes
        return ()
    if not doubled:
        return ()
    if validation == "Strict" and (error := Findings(kind).strict_error(doubled)):
        raise error
    return Findings(kind).warnings(doubled)


def decode_patch(body: bytes, content_type: str) -> tuple[object, PatchType]:
    """A patch and its type. Raises ApiError 400 or 415."""
    patch_type = _PATCH_TYPES.get(media_type(content_type))
    if patch_type is None:
        raise _unsupported(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{', '.join(_PATCH_TYPES)}"
        )
    patch = _yaml(body) if patch_type == "apply" else _json(body)
    if patch_type == "json" and not isinstance(patch, list):
        raise bad_request("a JSON patch is a list of operations")
    if patch_type != "json" and not isinstance(patch, dict):
        raise bad_request(f"{_OF_OBJECTS[patch_type]} is an object")
    return patch, patch_type


def media_type(content_type: str) -> str:
    """``application/json`` of ``application/json; charset=utf-8``."""
    return content_type.partition(";")[0].strip().lower()


def too_large() -> ApiError:
    return ApiError(
        413,
        "RequestEntityTooLarge",
        f"Request entity too large: limit is {BODY_LIMIT_BYTES} bytes",
    )


# Private


def _decode(body: bytes, content_type: str) -> Any:
    match media_type(content_type):
        case media if media in _JSON_TYPES:
            return _json(body)
        case "application/yaml" | "application/x-yaml" | "text/yaml":
            return _yaml(body)
        case "application/vnd.kubernetes.protobuf":
            return _protobuf(body)
    raise _unsupported(
        f'the body of the request has media type "{content_type}" - accepted media types '
        "include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is not JSON: {error}") from error


def _yaml(body: bytes) -> Any:
    """YAML, or JSON: most that calls itself YAML is, and is read a hundred times faster so."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    # Imported here: PyYAML is memory that an idle engine can do without.
    import yaml

    try:
        return yaml.load(body, _plain_loader())
    except (yaml.YAMLError, ValueError) as error:
        raise bad_request(f"the body is not YAML: {error}") from error


def _protobuf(body: bytes) -> Obj:
    # Imported here: only kubectl's typed commands need the table of field numbers.
    from nodrop.model import protobuf

    try:
        return protobuf.decode(body)
    except ValueError as error:
        raise bad_request(f"the body is not Kubernetes protobuf: {error}") from error


def _plain_loader() -> Any:
    """PyYAML's safe loader, but times stay text: JSON has none."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    return type("PlainLoader", (base,), {"yaml_implicit_resolvers": resolvers})


def _unsupported(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message)
