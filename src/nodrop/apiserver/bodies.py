"""Request bodies: JSON, YAML and Kubernetes protobuf into objects, within a size limit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from nodrop.apiserver.yamlbodies import doubled_keys, read_yaml
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj
from nodrop.model.schema import Findings, duplicate_fields
from nodrop.registry.interface import FieldValidation, PatchType

BODY_LIMIT_BYTES = 3 * 1024 * 1024
_JSON_TYPES = ("application/json", "", "text/plain", "application/octet-stream")
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
_SHOWN_CHARS = 1_000

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
    """Warnings about fields that stand twice in an object's body; the last one holds.

    Raises 400 for them when strict.
    """
    if validation not in ("Strict", "Warn"):
        return ()
    media = media_type(content_type)
    if media in _YAML_TYPES and (lines := doubled_keys(body)):
        if validation == "Warn":
            return tuple(lines)
        raise Findings(kind).strict(_unmarshalled(lines))
    if media in _JSON_TYPES and (doubled := _doubled_paths(body)):
        if validation == "Warn":
            return doubled
        raise Findings(kind).strict(", ".join(doubled))
    return ()


def doubled_in_patch(
    body: bytes, patch_type: PatchType, validation: FieldValidation
) -> tuple[str, ...]:
    """As ``doubled_fields``, of a patch. Raises 400 or 422 when strict, worded as upstream does."""
    if validation not in ("Strict", "Warn"):
        return ()
    doubled = _doubled_paths(body) if patch_type != "apply" or body.startswith(b"{") else None
    if patch_type == "apply":
        # What is JSON and has nothing twice needs no slow look for lines.
        lines = tuple(doubled_keys(body)) if doubled != () else ()
        if lines and validation == "Strict":
            why = f"error converting YAML to JSON: {_unmarshalled(lines)}"
            raise bad_request(f"error strict decoding YAML: {why}")
        return lines
    if patch_type == "json":
        doubled = tuple(f"json patch {text}" for text in doubled or ())
    if doubled and validation == "Strict":
        raise _invalid_patch(body, f"strict decoding error: {', '.join(doubled)}")
    return doubled or ()


def decode_patch(body: bytes, content_type: str) -> tuple[object, PatchType]:
    """A patch and its type. Raises ApiError 400 or 415."""
    patch_type = _PATCH_TYPES.get(media_type(content_type))
    if patch_type is None:
        raise _unsupported(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{', '.join(_PATCH_TYPES)}"
        )
    patch = _json_or_yaml(body) if patch_type == "apply" else _json(body)
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
        case media if media in _YAML_TYPES:
            return _json_or_yaml(body)
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


def _json_or_yaml(body: bytes) -> Any:
    """Most that calls itself YAML is JSON (kubectl's applies), read a hundred times faster so."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return read_yaml(body)


def _doubled_paths(body: bytes) -> tuple[str, ...] | None:
    """``duplicate field "spec.replicas"`` for each; None of what only another decoder reads."""
    try:
        return tuple(f'duplicate field "{path}"' for path in duplicate_fields(body))
    except ValueError:  # no JSON, or a number of thousands of digits
        return None


def _unmarshalled(lines: Iterable[str]) -> str:
    return "\n  ".join(("yaml: unmarshal errors:", *lines))


def _invalid_patch(body: bytes, why: str) -> ApiError:
    text = body.decode(errors="replace")
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
    message = f"Invalid value: {json.dumps(shown, ensure_ascii=False)}: {why}"
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": "patch"}]
    return ApiError(422, "Invalid", f' "" is invalid: patch: {message}', {"causes": causes})


def _protobuf(body: bytes) -> Obj:
    # Imported here: only kubectl's typed commands need the table of field numbers.
    from nodrop.model import protobuf

    try:
        return protobuf.decode(body)
    except ValueError as error:
        raise bad_request(f"the body is not Kubernetes protobuf: {error}") from error


def _unsupported(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message)
