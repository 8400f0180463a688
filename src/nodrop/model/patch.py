"""Patches of objects: JSON (RFC 6902), merge (RFC 7396); strategic ones are in strategic.py.

All are pure: what goes in is never changed. A patch that makes no sense is 400, one that can't
be applied to this object is 422.
"""

from __future__ import annotations

import re
from typing import Any

from nodrop.model.errors import ApiError, bad_request
from nodrop.model.meta import Obj
from nodrop.model.strategic import strategic_merge
from nodrop.model.threeway import three_way_patch
from nodrop.model.trees import clone, same

__all__ = ["json_patch", "merge_patch", "strategic_merge", "three_way_patch"]

_INDEX = re.compile("0|[1-9][0-9]*")
_NEEDS_VALUE = ("add", "replace", "test")
_NEEDS_FROM = ("move", "copy")
_OPERATIONS = (*_NEEDS_VALUE, *_NEEDS_FROM, "remove")


def merge_patch(obj: Obj, patch: Any) -> Obj:
    """RFC 7396: null removes a field, an object is merged, anything else replaces.

    The result shares its parts with ``obj`` and ``patch``: copy before changing it.
    """
    if not isinstance(patch, dict):
        raise bad_request(f"a merge patch must be an object, but is {_short(patch)}")
    merged: Obj = _merged(obj, patch)
    return merged


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    kept = target if isinstance(target, dict) else {}
    merged = {key: value for key, value in kept.items() if key not in patch}
    for key, value in patch.items():
        if value is not None:
            merged[key] = _merged(kept.get(key), value)
    return merged


def json_patch(obj: Obj, operations: Any) -> Obj:
    """RFC 6902: all operations in order, or none.

    Raises 400 when an operation is malformed and 422 when one fails on this object.
    """
    if not isinstance(operations, list):
        raise bad_request(f"a JSON patch must be a list of operations, but is {_short(operations)}")
    for index, operation in enumerate(operations):
        _check_operation(operation, index)
    document: Any = clone(obj)
    for operation in operations:
        document = _operate(document, operation)
    if not isinstance(document, dict):
        raise _failed("the patched document is no object")
    return document


def _check_operation(operation: Any, index: int) -> None:
    where = f"JSON patch operation {index}"
    if not isinstance(operation, dict):
        raise bad_request(f"{where} must be an object, but is {_short(operation)}")
    name = operation.get("op")
    if name not in _OPERATIONS:
        listed = ", ".join(sorted(_OPERATIONS))
        raise bad_request(f"{where}: op is {_short(name)}, it must be one of {listed}")
    pointers = ("path", "from") if name in _NEEDS_FROM else ("path",)
    for field in pointers:
        pointer = operation.get(field)
        if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
            raise bad_request(f"{where}: {field} must be a JSON pointer such as /spec/replicas")
    if name in _NEEDS_VALUE and "value" not in operation:
        raise bad_request(f"{where}: {name} needs a value")


def _operate(document: Any, operation: Obj) -> Any:
    path = operation["path"]
    match operation["op"]:
        case "add":
            return _add(document, path, clone(operation["value"]))
        case "remove":
            return _remove(document, path)
        case "replace":
            _value_at(document, path)
            return _replace(document, path, clone(operation["value"]))
        case "copy":
            return _add(document, path, clone(_value_at(document, operation["from"])))
        case "move":
            return _move(document, operation["from"], path)
        case _:
            if not same(_value_at(document, path), operation["value"]):
                raise _failed(f"testing value {path} failed")
            return document


def _move(document: Any, source: str, path: str) -> Any:
    if path.startswith(f"{source}/"):
        raise _failed(f"{source} can't be moved into itself ({path})")
    value = _value_at(document, source)
    if source == path:
        return document
    return _add(_remove(document, source), path, value)


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _child(value: Any, step: str, pointer: str) -> Any:
    if isinstance(value, dict) and step in value:
        return value[step]
    if isinstance(value, list):
        return value[_index(step, len(value) - 1, pointer)]
    raise _failed(f"there is no value at {pointer}")


def _value_at(document: Any, pointer: str) -> Any:
    for step in _steps(pointer):
        document = _child(document, step, pointer)
    return document


def _holder(document: Any, pointer: str) -> tuple[Any, str]:
    """What contains the value that the pointer names, and the last step."""
    *steps, last = _steps(pointer)
    for step in steps:
        document = _child(document, step, pointer)
    return document, last


def _index(step: str, last: int, pointer: str) -> int:
    if not _INDEX.fullmatch(step) or int(step) > last:
        raise _failed(f"{pointer} names no element of the list: {step}")
    return int(step)


def _add(document: Any, pointer: str, value: Any) -> Any:
    if not pointer:
        return value
    holder, last = _holder(document, pointer)
    if isinstance(holder, dict):
        holder[last] = value
    elif isinstance(holder, list):
        at = len(holder) if last == "-" else _index(last, len(holder), pointer)
        holder.insert(at, value)
    else:
        raise _failed(f"{pointer} is neither in an object nor in a list")
    return document


def _replace(document: Any, pointer: str, value: Any) -> Any:
    if not pointer:
        return value
    holder, last = _holder(document, pointer)
    if isinstance(holder, dict):
        holder[last] = value
    else:
        holder[int(last)] = value
    return document


def _remove(document: Any, pointer: str) -> Any:
    _value_at(document, pointer)
    if not pointer:
        return None
    holder, last = _holder(document, pointer)
    del holder[last if isinstance(holder, dict) else int(last)]
    return document


def _failed(detail: str) -> ApiError:
    text = f"the server rejected our request due to an error in our request: {detail}"
    return ApiError(422, "Invalid", text)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
