"""Columns of custom kinds: what their definitions name under additionalPrinterColumns; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from nodrop.apiserver.cells.column import Cell, Cells, Column, age, object_age
from nodrop.model.custom.resource import CustomResource
from nodrop.model.meta import Obj

_NAME = Column("Name")
_AGE = Column("Age", type="date")
#: A step of a JSONPath: ``.name``, ``['na.me']``, ``[0]``, ``[*]``, ``[?(@.type=="Ready")]``.
_STEP = re.compile(
    r"""\.(?P<name>(?:[^.\[\\]|\\.)+)
    |\[\'(?P<quoted>[^\']*)\'\]
    |\[(?P<index>\d+)\]
    |\[(?P<every>\*)\]
    |\[\?\(@\.(?P<field>[\w.-]+)\s*==\s*["\'](?P<equal>[^"\']*)["\']\)\]""",
    re.VERBOSE,
)


def custom_cells(resource: CustomResource) -> tuple[tuple[Column, ...], Cells]:
    """Name and the columns of the definition; name and age where it has none."""
    if not resource.columns:
        return (_NAME, _AGE), lambda obj, now: [obj["metadata"]["name"], object_age(obj, now)]
    columns = tuple(
        Column(one["name"], wide=bool(one.get("priority")), type=one["type"])
        for one in resource.columns
    )
    paths = [(one["jsonPath"], one["type"]) for one in resource.columns]

    def cells(obj: Obj, now: datetime) -> list[Cell]:
        found = [_cell(values(obj, path), kind, now) for path, kind in paths]
        return [obj["metadata"]["name"], *found]

    return (_NAME, *columns), cells


def values(obj: Obj, path: str) -> list[Any]:
    """What a simple JSONPath leads to: nothing, one value, or several behind ``[*]``."""
    found: list[Any] = [obj]
    for step in _STEP.finditer(path):
        found = [inner for value in found for inner in _inside(value, step)]
    return found


# Private


def _inside(value: Any, step: re.Match[str]) -> Iterator[Any]:
    name = step["name"] or step["quoted"]
    if name is not None:
        name = name.replace("\\", "")
        if isinstance(value, dict) and name in value:
            yield value[name]
    elif isinstance(value, list):
        if step["index"] is not None:
            yield from value[int(step["index"]) :][:1]
        elif step["every"]:
            yield from value
        else:
            field, wanted = step["field"], step["equal"]
            yield from (one for one in value if isinstance(one, dict) and one.get(field) == wanted)


def _cell(found: list[Any], kind: str, now: datetime) -> Cell:
    if not found or found[0] is None:
        return ""
    value = found[0]
    match kind, value:
        case "date", str():
            return _age(value, now)
        case (("integer" | "number"), int()) if not isinstance(value, bool):
            return int(value)
        case "string", _ if len(found) > 1:
            return ",".join(_text(one) for one in found)
    return _text(value)


def _age(text: str, now: datetime) -> str:
    try:
        return age(text, now)
    except ValueError:
        return "<invalid>"


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "[" + ",".join(_text(one) for one in value) + "]"
        case dict():
            return "{" + ",".join(f"{name}:{_text(one)}" for name, one in value.items()) + "}"
    return str(value)
