"""Where the registry calls the model: decode strictness, defaults, validation, patches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from nodrop.model.custom.structural import defaulted, pruned, violations
from nodrop.model.defaults import apply_defaults
from nodrop.model.errors import ApiError, Cause, bad_request, invalid
from nodrop.model.ingresspaths import ingress_remarks
from nodrop.model.kinds import INGRESS, Kind
from nodrop.model.meta import Obj
from nodrop.model.patch import json_patch, merge_patch
from nodrop.model.schema import UnknownField, decode_strictness, without_unknown
from nodrop.model.strategic import strategic_merge
from nodrop.model.trees import clone_without_nulls
from nodrop.model.validate import validate_create, validate_status, validate_update
from nodrop.model.validate.metadata import validate_metadata, validate_metadata_update
from nodrop.registry.interface import FieldValidation, PatchType

_NOT_STRATEGIC = (
    "the body of the request was in an unknown format - accepted media types include: "
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
)


def clone(obj: Obj) -> Obj:
    """A deep copy: what is stored shares nothing with what a caller holds.

    Raises 400 for what JSON can't hold: half a surrogate pair, a structure without end.
    """
    try:
        copied: Obj = msgspec.json.decode(msgspec.json.encode(obj))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise bad_request(f"the object can't be written as JSON: {error}") from error
    return copied


def shallow(obj: Obj) -> Obj:
    """A copy for a trusted writer of a status: only the metadata is changed in place."""
    return {**obj, "metadata": {**obj["metadata"]}}


def known_fields(
    kind: Kind, obj: Obj, strictness: FieldValidation, stored: Obj | None = None
) -> tuple[Obj, tuple[str, ...]]:
    """``obj`` without unknown fields, and warnings about them.

    Dropped as upstream does: kept, a misspelt field would change a pod template's hash, and be no
    news to the next strict write. Raises 400 for them when strict, always for wrong types. Unknown
    fields that ``stored`` has already (of an older state file) are not complained about again.
    """
    if strictness == "Trusted":
        return obj, ()
    if kind.custom is not None:  # `completed` prunes these
        return obj, _check_custom_fields(kind, obj, strictness)
    findings = decode_strictness(obj, kind)
    if error := findings.type_error():
        raise error
    kept = without_unknown(obj, kind) if findings.unknown else obj
    if findings.unknown and stored is not None:
        known = decode_strictness(stored, kind).unknown
        new = tuple(field for field in findings.unknown if field not in known)
        findings = replace(findings, unknown=new)
    if strictness == "Strict" and (error := findings.strict_error()):
        raise error
    return kept, findings.warnings() if strictness == "Warn" else ()


def remarks(kind: Kind, obj: Obj, stored: Obj | None = None) -> tuple[str, ...]:
    """Warnings about what is well-formed and has not the effect that was asked for.

    What ``stored`` has already is not complained about again.
    """
    if kind != INGRESS:
        return ()
    known = () if stored is None else ingress_remarks(stored)
    return tuple(text for text in ingress_remarks(obj) if text not in known)


def completed(kind: Kind, obj: Obj) -> Obj:
    """``obj`` with defaults; nulls are dropped, and what the schema of a custom kind lacks."""
    if kind.custom is None:
        return apply_defaults(obj)
    kept, _ = pruned(obj, kind.custom.validation)
    completed: Obj = defaulted(kept, kind.custom.validation)
    return {**completed, "metadata": clone_without_nulls(completed["metadata"])}


def with_completed_status(obj: Obj) -> Obj:
    """``obj`` with no nulls in its status: enough where only a pod's status was written."""
    return {**obj, "status": clone_without_nulls(obj["status"])}


def check_create(kind: Kind, obj: Obj) -> None:
    """Raise 422 with all that is wrong with a new object."""
    if causes := _custom_causes(kind, obj) if kind.custom else validate_create(obj):
        raise invalid(kind, obj["metadata"].get("name", ""), causes)


def check_update(kind: Kind, obj: Obj, stored: Obj) -> None:
    """Raise 422 with all that is wrong with a changed object, or with the change."""
    if kind.custom:
        causes = validate_metadata_update(obj["metadata"], stored["metadata"])
        causes += _custom_causes(kind, obj)
    else:
        causes = validate_update(obj, stored)
    if causes:
        raise invalid(kind, obj["metadata"]["name"], causes)


def check_status(kind: Kind, obj: Obj) -> None:
    """Raise 422 for a status that nobody could read."""
    if causes := _custom_causes(kind, obj) if kind.custom else validate_status(obj):
        raise invalid(kind, obj["metadata"]["name"], causes)


def patched(kind: Kind, obj: Obj, patch: Any, patch_type: PatchType) -> Obj:
    """``obj`` with ``patch`` applied. Raises 400 or 422 for a patch that can't be."""
    match patch_type:
        case "json":
            return json_patch(obj, patch)
        case "merge":
            return merge_patch(obj, patch)
        case "strategic" if kind.custom:
            raise ApiError(415, "UnsupportedMediaType", _NOT_STRATEGIC)
        case "strategic":
            return strategic_merge(obj, patch, kind)
        case "apply":
            raise AssertionError("an apply is no patch of an object: see managedfields")


# Private


def _check_custom_fields(kind: Kind, obj: Obj, strictness: FieldValidation) -> tuple[str, ...]:
    """As ``known_fields``, by the schema of a custom kind; of its metadata by everyone's."""
    assert kind.custom is not None
    envelope: Obj = {name: obj[name] for name in ("apiVersion", "kind", "metadata") if name in obj}
    findings = decode_strictness(envelope, kind)
    if error := findings.type_error():
        raise error
    _, dropped = pruned(obj, kind.custom.validation)
    findings = replace(findings, unknown=findings.unknown + tuple(map(UnknownField, dropped)))
    if strictness == "Strict" and (error := findings.strict_error()):
        raise error
    return findings.warnings() if strictness == "Warn" else ()


def _custom_causes(kind: Kind, obj: Obj) -> list[Cause]:
    assert kind.custom is not None
    causes = validate_metadata(obj["metadata"], kind)
    return causes + violations(obj, kind.custom.validation)
