"""Causes in upstream's words: one constructor per kind of field error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from nodrop.model.errors import Cause

NON_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
#: Periods in seconds end here (68 years): a date that lies beyond the calendar can't be computed.
MOST_INT32 = 2147483647


def shown(value: Any) -> str:
    """A value as messages show it: strings quoted, everything else as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def required(path: str, detail: str = "") -> Cause:
    return Cause(path, "FieldValueRequired", _with("Required value", detail))


def invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def unsupported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    listed = ", ".join(shown(name) for name in supported)
    return Cause(
        path,
        "FieldValueNotSupported",
        f"Unsupported value: {shown(value)}: supported values: {listed}",
    )


def forbidden(path: str, detail: str) -> Cause:
    return Cause(path, "FieldValueForbidden", f"Forbidden: {detail}")


def duplicate(path: str, value: Any) -> Cause:
    return Cause(path, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def not_found(path: str, value: Any) -> Cause:
    return Cause(path, "FieldValueNotFound", f"Not found: {shown(value)}")


def too_long(path: str, most_bytes: int) -> Cause:
    text = f"Too long: may not be more than {most_bytes} bytes"
    return Cause(path, "FieldValueTooLong", text)


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def non_negative(path: str, value: int | None) -> list[Cause]:
    """A cause if ``value`` is below 0; None counts as unset."""
    return [invalid(path, value, NON_NEGATIVE)] if value is not None and value < 0 else []


def one_of(path: str, value: Any, supported: Sequence[str]) -> list[Cause]:
    """A cause if ``value`` is missing or none of ``supported``."""
    if not value:
        return [required(path)]
    return [] if value in supported else [unsupported(path, value, supported)]


def immutable(path: str, new: Any, old: Any) -> list[Cause]:
    """A cause if the value differs from what was stored."""
    return [] if new == old else [invalid(path, new, IMMUTABLE)]
