"""What a client wrote that its kind's schema doesn't have: unknown fields, wrong types, doubles.

`decode_strictness` compares, `Findings` words it as warnings or as the 400 that upstream answers.
"""

from __future__ import annotations

import base64
import difflib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from nodrop.model.definitions import (
    Schema,
    Typed,
    described,
    go_type,
    json_type,
    paths_by_name,
    resolved,
    schema_of,
)
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, parse_time

_INT_BITS = {"int32": 31, "int64": 63}
_ALIKE = 0.75
"""How alike a misspelt name must be to be taken for another one (difflib's ratio)."""
_SHOWN_CHARS = 60
_FIRST_YEAR, _LAST_YEAR = 1970, 9000


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that the schema lacks. ``hint`` says what was probably meant, or is empty."""

    path: str
    hint: str = ""

    def __str__(self) -> str:
        return f'unknown field "{self.path}"' + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class WrongType:
    """A value whose type the field can't hold. ``detail`` is what a Go decoder would print."""

    path: str
    detail: str
    mend: str

    def __str__(self) -> str:
        return f"{self.detail} ({self.mend})"


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything an object gets wrong about its schema."""

    kind: Kind
    unknown: tuple[UnknownField, ...] = ()
    wrong_types: tuple[WrongType, ...] = ()

    @property
    def fine(self) -> bool:
        return not self.unknown and not self.wrong_types

    def type_error(self) -> ApiError | None:
        """400 for the first wrong type; refused whatever fieldValidation says."""
        if not self.wrong_types:
            return None
        return bad_request(f"{_unhandled(self.kind)}: {self.wrong_types[0]}")

    def warnings(self) -> tuple[str, ...]:
        """For fieldValidation=Warn: one text per unknown field."""
        return tuple(str(field) for field in self.unknown)

    def strict_error(self) -> ApiError | None:
        """400 for fieldValidation=Strict, or None when every field is known."""
        return self.strict(", ".join(self.warnings())) if self.unknown else None

    def strict(self, why: str) -> ApiError:
        """400 for what only fieldValidation=Strict refuses."""
        return bad_request(f"{_unhandled(self.kind)}: strict decoding error: {why}")


def _unhandled(kind: Kind) -> str:
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'


def decode_strictness(obj: Obj, kind: Kind) -> Findings:
    """Compare an object with the schema of its kind. Nulls count as absent fields."""
    schema = schema_of(kind)
    walk = _Walk(schema)
    walk.visit(obj, schema, kind.kind, _Place())
    return Findings(kind, tuple(walk.unknown), tuple(walk.wrong))


def without_unknown(obj: Obj, kind: Kind) -> Obj:
    """``obj`` without the fields that the schema of its kind lacks."""
    kept: Obj = _kept(obj, schema_of(kind))
    return kept


#: Unknown or doubled fields that are told, as many as upstream's decoder notes (each costs a look
#: for what was meant), and what is shown of a name.
_MOST_TOLD, _SHOWN_CHARS = 100, 1_000


class _Place(NamedTuple):
    """Where a walk is: the path as we show it, and as Go does, without indices and map keys."""

    path: str = ""
    go_path: str = ""

    def field(self, name: str) -> _Place:
        return _Place(_joined(self.path, name), _joined(self.go_path, name))

    def key(self, name: str) -> _Place:
        return _Place(_joined(self.path, name), self.go_path)

    def item(self, number: int) -> _Place:
        return _Place(f"{self.path}[{number}]", self.go_path)


def _joined(path: str, name: str) -> str:
    shown = name[:_SHOWN_CHARS]
    return f"{path}.{shown}" if path else shown


class _Walk:
    """One comparison: goes down object and schema together and notes what differs."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.unknown: list[UnknownField] = []
        self.wrong: list[WrongType] = []
        self._names: dict[str, list[tuple[str, ...]]] | None = None

    def visit(self, value: Any, schema: Schema, struct: str, place: _Place) -> None:
        """``struct`` is the Go struct that holds the field, for the message."""
        typed = resolved(schema, struct)
        inner = typed.schema
        if inner.properties or inner.values is not None:
            if isinstance(value, dict):
                self._mapping(value, typed, struct, place)
            else:
                self._note(value, schema, struct, place)
        elif inner.items is not None:
            if isinstance(value, list):
                for index, entry in enumerate(value):
                    self.visit(entry, inner.items, struct, place.item(index))
            else:
                self._note(value, schema, struct, place)
        elif not _fits(value, inner):
            self._note(value, schema, struct, place)
        elif inner.format in _READERS:
            self._read(value, inner, place.path)

    def _mapping(self, value: Obj, typed: Typed, struct: str, place: _Place) -> None:
        inner = typed.schema
        for name, item in value.items():
            if name in inner.properties:
                if item is not None:
                    self.visit(item, inner.properties[name], typed.struct, place.field(name))
            elif inner.values is None and len(self.unknown) < _MOST_TOLD:
                strangers = tuple(other for other in value if other not in inner.properties)
                hint = self._hint(name[:_SHOWN_CHARS], inner, place.path, strangers)
                self.unknown.append(UnknownField(_joined(place.path, name), hint))
            elif inner.values is not None and item is not None:
                self.visit(item, inner.values, struct, place.key(name))

    def _read(self, value: str, inner: Schema, path: str) -> None:
        """Text that must also be readable: times and base64."""
        try:
            _READERS[inner.format](value)
        except ValueError as error:
            detail = f"{described(inner)} expected: {error}"
            self.wrong.append(WrongType(path, detail, _mend(value, inner, path)))

    def _note(self, value: Any, schema: Schema, struct: str, place: _Place) -> None:
        kind, mend = json_type(value), _mend(value, schema, place.path)
        width = resolved(schema).schema.format
        if kind == "number" and width in _INT_BITS:
            limit = 1 << _INT_BITS[width]
            kind, mend = f"number {value}", f"{mend} from {-limit} to {limit - 1}"
        detail = (
            f"json: cannot unmarshal {kind} into Go struct field "
            f"{struct}.{place.go_path} of type {go_type(schema)}"
        )
        self.wrong.append(WrongType(place.path, detail, mend))

    def _hint(self, name: str, inner: Schema, path: str, strangers: Sequence[str]) -> str:
        near = _nearest(name, inner.properties)
        if near:
            return f'did you mean "{near}"?'
        if self._names is None:
            self._names = paths_by_name(self.root)
        meant = name if name in self._names else _nearest(name, self._names)
        if not meant:
            return ""
        here = tuple(step.partition("[")[0] for step in path.split("."))
        beside = [self._names.get(stranger, []) for stranger in strangers]
        return f'it belongs at "{".".join(_likeliest(self._names[meant], here, beside))}"'


def _kept(value: Any, schema: Schema) -> Any:
    inner = resolved(schema).schema
    if isinstance(value, list) and inner.items is not None:
        return [_kept(entry, inner.items) for entry in value]
    if not isinstance(value, dict) or not (inner.properties or inner.values is not None):
        return value
    fields = {name: inner.properties.get(name, inner.values) for name in value}
    return {name: _kept(value[name], field) for name, field in fields.items() if field is not None}


_Steps = tuple[str, ...]


def _likeliest(places: list[_Steps], here: _Steps, beside: list[list[_Steps]]) -> _Steps:
    """Where a misplaced field was meant to stand: in an enclosing struct, else as near as can be.

    So a grace period written into a container belongs to the pod, not to a probe beside it. Of
    places as near, that one wins which has room for more of the unknown fields ``beside`` it.
    """

    def distance(steps: _Steps) -> tuple[bool, int, int, int]:
        shared = _shared(here, steps)
        fitting = sum(any(one[:-1] == steps[:-1] for one in other) for other in beside)
        return shared < len(steps) - 1, -shared, len(steps), -fitting

    return min(places, key=distance)


def _fits(value: Any, schema: Schema) -> bool:
    if schema.format == "int-or-string":
        return isinstance(value, str) or _is_integer(value, "int32")
    if schema.format == "quantity":
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    match schema.type:
        case "string":
            return isinstance(value, str)
        case "integer":
            return _is_integer(value, schema.format)
        case "boolean":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case _:
            return True


def _is_integer(value: Any, width: str) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    limit = 1 << _INT_BITS.get(width, 63)
    return -limit <= value < limit


def _mend(value: Any, schema: Schema, path: str) -> str:
    text = json.dumps(value, ensure_ascii=False)
    short = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
    return f"{path or 'the object'} is {short}, it must be {described(schema)}"


def _read_base64(text: str) -> None:
    base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)


def _read_time(text: str) -> None:
    """A time that seconds can be added to and taken from without leaving the calendar."""
    if not _FIRST_YEAR <= parse_time(text).year <= _LAST_YEAR:
        raise ValueError(f"year not between {_FIRST_YEAR} and {_LAST_YEAR}: {text!r}")


_READERS = {"date-time": _read_time, "byte": _read_base64}


def _nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` was most probably meant to be, or ""."""
    by_folded = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=_ALIKE)
    return by_folded[close[0]] if close else ""


def _shared(here: tuple[str, ...], steps: tuple[str, ...]) -> int:
    """How many steps two paths have in common from the root."""
    count = 0
    for mine, other in zip(here, steps, strict=False):
        if mine != other.removesuffix("[]"):
            break
        count += 1
    return count


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a key given twice can still be seen."""


#: Where in a tree: what is above, and a key or an index. Text is made of the few that are told: a
#: key of a megabyte above 5,000 doubled ones was 9 GiB of it.
_At: TypeAlias = "tuple[_At | None, str | int]"


def duplicate_fields(raw: bytes) -> list[str]:
    """Paths of keys that a JSON text gives more than once: ``spec.template.spec.x``.

    Raises ValueError when the text is no JSON.
    """
    seen_twice = False

    def keep(pairs: list[tuple[str, Any]]) -> _Pairs:
        nonlocal seen_twice
        seen_twice = seen_twice or len({key for key, _ in pairs}) < len(pairs)
        return _Pairs(pairs)

    tree = json.loads(raw, object_pairs_hook=keep)
    if not seen_twice:
        return []
    paths = (_spelled(at) for at in _doubled(tree, None))
    return list(dict.fromkeys(itertools.islice(paths, _MOST_TOLD)))


def _doubled(tree: Any, at: _At | None) -> Iterator[_At]:
    if isinstance(tree, _Pairs):
        seen: set[str] = set()
        for key, item in tree:
            where = (at, key)
            if key in seen:
                yield where
            seen.add(key)
            yield from _doubled(item, where)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _doubled(item, (at, index))


def _spelled(at: _At) -> str:
    """``spec.containers[0].x``, of bounded length."""
    steps: list[str] = []
    above: _At | None = at
    while above is not None:
        above, step = above
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step[:_SHOWN_CHARS]}")
    return "".join(reversed(steps)).removeprefix(".")[:_SHOWN_CHARS]
