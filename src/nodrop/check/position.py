"""Where a field of a manifest stands in its file. Pure.

Places are counted from the character index that the parser gives, so that they are inside the
file whatever the parser takes for the end of a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from nodrop.check.source import Document

#: Steps from an object's root to a field: names of mappings, numbers of lists.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """A stretch of a file; lines and columns count from 1, the end is not part of it."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Place:
    """A field in the parsed tree; ``key`` is None for the root and for items of lists."""

    key: yaml.ScalarNode | None
    value: yaml.Node


def spoken(path: Path) -> str:
    """A path as Kubernetes writes it.

    >>> spoken(("spec", "containers", 0, "image"))
    'spec.containers[0].image'
    """
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def place_of(document: Document, path: Path) -> Place | None:
    """The field at ``path``, or None if it does not stand there (it may come by a merge key)."""
    if document.node is None:
        return None
    place = Place(None, document.node)
    for step in path:
        inner = step_into(place.value, step)
        if inner is None:
            return None
        place = inner
    return place


def nearest_place(document: Document, path: Path) -> Place | None:
    """The field at ``path`` or, where that is absent, the nearest one around it."""
    for length in range(len(path), -1, -1):
        if place := place_of(document, path[:length]):
            return place
    return None


def position_of(document: Document, path: Path) -> Position:
    """Where to point for ``path``: its key, or the first line of its value."""
    place = nearest_place(document, path)
    if place is None:
        return Position(max(1, document.line), 1, max(1, document.line), 1)
    node = place.key or place.value
    start = node.start_mark.index
    end = node.end_mark.index if place.key else start
    return Position(*_counted(document.text, start), *_counted(document.text, max(start, end)))


def step_into(node: yaml.Node, step: str | int) -> Place | None:
    """The field or item in ``node``; of a merged and an own field the own one, which counts."""
    if isinstance(node, yaml.MappingNode) and isinstance(step, str):
        for key, value in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return Place(key, value)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return Place(None, node.value[step])
    return None


# Private


def _counted(text: str, index: int) -> tuple[int, int]:
    index = min(index, len(text))
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
