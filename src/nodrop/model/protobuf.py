"""Kubernetes' protobuf bodies as objects; pure.

kubectl's typed commands (``create deployment``, ``create secret`` …) send nothing else. Which
field has which number stands in protobuf.json (made by tools/protobuf). Only decoding is there:
clients that send protobuf take JSON for an answer.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib import resources
from typing import Any

import msgspec

from nodrop.model.meta import Obj, format_micro_time, format_time

#: What every body starts with; a runtime.Unknown message follows.
MAGIC = b"k8s\x00"
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DEEPEST = 100

Wire = int | bytes


class Field(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One field of a message. ``name`` is empty where JSON has the inner fields inline.

    ``type`` is a message's name or one of string, int, bool, bytes, double; ``shape`` one of
    "" (single), "list" and "map" (of strings to ``type``). ``zero`` tells whether a zero on the
    wire means something: Go writes every field that is not a pointer, set or not.
    """

    name: str
    type: str
    shape: str
    zero: bool


class _Document(msgspec.Struct, frozen=True):
    messages: dict[str, dict[int, Field]]


@functools.cache
def _messages() -> dict[str, dict[int, Field]]:
    data = resources.files("nodrop.model").joinpath("protobuf.json").read_bytes()
    return msgspec.json.decode(data, type=_Document, strict=False).messages


def decode(body: bytes) -> Obj:
    """The object in a body that starts with ``MAGIC``.

    Raises ValueError, saying what is wrong, for a broken body or a kind that has no description.
    """
    if not body.startswith(MAGIC):
        raise ValueError("it does not start with k8s\\0")
    envelope = _gathered(body[len(MAGIC) :])
    kind = _gathered(_bytes(envelope, 1))
    api_version, name = _text(_bytes(kind, 1)), _text(_bytes(kind, 2))
    if _bytes(envelope, 3):
        raise ValueError(f"its content encoding {_text(_bytes(envelope, 3))!r} is not known")
    message = _message_of(api_version, name)
    return {"apiVersion": api_version, "kind": name, **_struct(_bytes(envelope, 2), message, 0)}


# Messages


def _message_of(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    found = f"k8s.io.api.{group.partition('.')[0] or 'core'}.{version}.{kind}"
    if kind == "DeleteOptions":  # of the API machinery, sent under any group
        found = _META + kind
    if found not in _messages():
        raise ValueError(f'{api_version or "(no apiVersion)"} "{kind}" is not known as protobuf')
    return found


def _struct(data: bytes, message: str, depth: int) -> Obj:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested deeper than {_DEEPEST} messages")
    obj: Obj = {}
    fields = _messages()[message]
    for number, values in _gathered(data).items():
        field = fields.get(number)
        if field is None:
            continue  # of a newer release, as protobuf itself takes it
        if not field.name:
            obj |= _struct(_joined(values), field.type, depth + 1)
        elif (value := _field(values, field, depth)) is not None:
            obj[field.name] = value
    return obj


def _field(values: list[Wire], field: Field, depth: int) -> Any:
    """A field's JSON value; None where Go's JSON leaves it out."""
    if field.shape == "list":
        return [one for value in values for one in _items(value, field, depth)]
    if field.shape == "map":
        return dict(_entry(value, field, depth) for value in values)
    value = _value(values[-1], field.type, depth)
    return None if not value and not field.zero and not isinstance(value, dict) else value


def _items(value: Wire, field: Field, depth: int) -> Iterator[Any]:
    if field.type in ("int", "bool") and isinstance(value, bytes):  # packed
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            yield _value(number, field.type, depth)
        return
    yield _value(value, field.type, depth)


def _entry(value: Wire, field: Field, depth: int) -> tuple[str, Any]:
    parts = _gathered(_as_bytes(value))
    blank: Wire = 0 if field.type in ("int", "bool", "double") else b""
    return _text(_bytes(parts, 1)), _value(parts.get(2, [blank])[-1], field.type, depth)


def _value(value: Wire, type_: str, depth: int) -> Any:
    match type_:
        case "string":
            return _text(_as_bytes(value))
        case "bytes":
            return base64.b64encode(_as_bytes(value)).decode()
        case "int":
            return _signed(_as_int(value))
        case "bool":
            return bool(_as_int(value))
        case "double":
            raise ValueError("it holds a floating-point number, which no served kind has")
        case _:
            special = _SPECIAL.get(type_.rpartition(".")[2])
            data = _as_bytes(value)
            return special(_gathered(data)) if special else _struct(data, type_, depth + 1)


# Types with a JSON form of their own


def _time(parts: dict[int, list[Wire]]) -> str | None:
    """metav1.Time. An empty message is Go's zero time, which JSON leaves out."""
    return format_time(_moment(parts)) if parts else None


def _micro_time(parts: dict[int, list[Wire]]) -> str | None:
    return format_micro_time(_moment(parts)) if parts else None


def _moment(parts: dict[int, list[Wire]]) -> datetime:
    seconds, nanos = _signed(_int(parts, 1)), _signed(_int(parts, 2))
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError as error:
        raise ValueError(f"{seconds} seconds since 1970 is no time") from error


def _int_or_string(parts: dict[int, list[Wire]]) -> int | str:
    return _text(_bytes(parts, 3)) if _int(parts, 1) else _signed(_int(parts, 2))


def _quantity(parts: dict[int, list[Wire]]) -> str:
    return _text(_bytes(parts, 1))


def _raw_json(parts: dict[int, list[Wire]]) -> Any:
    raw = _bytes(parts, 1)
    try:
        return msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"JSON inside of it is broken: {error}") from error


def _strings(parts: dict[int, list[Wire]]) -> list[str]:
    return [_text(_as_bytes(value)) for value in parts.get(1, ())]


_SPECIAL = {
    "ExtraValue": _strings,
    "Time": _time,
    "MicroTime": _micro_time,
    "IntOrString": _int_or_string,
    "Quantity": _quantity,
    "FieldsV1": _raw_json,
    "RawExtension": _raw_json,
    "JSON": _raw_json,
}


# The wire format (protobuf.dev/programming-guides/encoding)


def fields_of(data: bytes) -> Iterator[tuple[int, Wire]]:
    """Every field's number and undecoded value. Raises ValueError when ``data`` is cut short."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: Wire
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
            case 1:
                value, at = _slice(data, at, 8)
            case 2:
                length, at = _varint(data, at)
                value, at = _slice(data, at, length)
            case 5:
                value, at = _slice(data, at, 4)
            case other:
                raise ValueError(f"wire type {other} is not known")
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("a number in it is cut short")


def _slice(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(data):
        raise ValueError("it is cut short")
    return data[at : at + length], at + length


def _gathered(data: bytes) -> dict[int, list[Wire]]:
    found: dict[int, list[Wire]] = {}
    for number, value in fields_of(data):
        found.setdefault(number, []).append(value)
    return found


def _joined(values: list[Wire]) -> bytes:
    """Parts of one message that came apart: protobuf merges them, which is to read on."""
    return b"".join(_as_bytes(value) for value in values)


def _bytes(parts: dict[int, list[Wire]], number: int) -> bytes:
    return _as_bytes(parts.get(number, [b""])[-1])


def _int(parts: dict[int, list[Wire]], number: int) -> int:
    return _as_int(parts.get(number, [0])[-1])


def _as_bytes(value: Wire) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where text or a message belongs")
    return value


def _as_int(value: Wire) -> int:
    if isinstance(value, bytes):
        raise ValueError("text or a message stands where a number belongs")
    return value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"text in it is not UTF-8: {error}") from error
