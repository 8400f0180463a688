"""Changes of a manifest as edits of its text: comments and layout stay. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from nodrop.check.finding import Change, Prefix, RenameKey, SetValue
from nodrop.check.position import Path, Place, step_into
from nodrop.check.source import Document


@dataclass(frozen=True, slots=True)
class Edit:
    """The characters from ``start`` to ``end`` become ``text``."""

    start: int
    end: int
    text: str


def edits_of(document: Document, change: Change) -> Edit | None:
    """The edit that makes a change, or None where the text gives no safe place for it."""
    reached = _reach(document, change.path)
    if reached is None:
        return None
    place, depth = reached
    there = depth == len(change.path)
    match change:
        case RenameKey(_, name):
            return _scalar(place.key, name) if there else None
        case Prefix(_, words):
            return _prefixed(document.text, place.value, words) if there else None
        case SetValue(path, value):
            if not there:
                return _added(document.text, place.value, path[depth:], value)
            if isinstance(place.value, yaml.ScalarNode):
                return _scalar(place.value, _flow(value))
            return _replaced(document.text, place.value, value)


def edited(text: str, edits: Iterable[Edit]) -> str:
    """``text`` with the edits made; of two that overlap, the later one waits for another round."""
    last = len(text) + 1
    for edit in sorted(set(edits), key=lambda one: (one.start, one.end), reverse=True):
        if edit.end <= last and edit.start < last:
            text = text[: edit.start] + edit.text + text[edit.end :]
            last = edit.start
    return text


# Private


def _reach(document: Document, path: Path) -> tuple[Place, int] | None:
    """How far a path goes through text of its own; None behind an alias, which others share.

    A field that comes by a merge key counts as absent: an own one beside it overrides it.
    """
    if document.node is None:
        return None
    place = Place(None, document.node)
    for depth, step in enumerate(path):
        inner = step_into(place.value, step)
        if inner is None or (inner.key and not _holds(place.value, inner.key)):
            return place, depth
        if _is_alias(place.value, inner):
            return None
        place = inner
    return place, len(path)


def _is_alias(outer: yaml.Node, inner: Place) -> bool:
    """Whether a value stands elsewhere: an anchor always comes before what refers to it."""
    if inner.key:
        return bool(inner.value.start_mark.index < inner.key.start_mark.index)
    return sum(one is inner.value for one in outer.value) > 1 or not _holds(outer, inner.value)


def _holds(outer: yaml.Node, inner: yaml.Node) -> bool:
    return bool(
        outer.start_mark.index <= inner.start_mark.index
        and inner.end_mark.index <= outer.end_mark.index
    )


def _scalar(node: yaml.Node | None, text: str) -> Edit | None:
    """A plain or quoted scalar's text is replaced, its quotes too."""
    if not isinstance(node, yaml.ScalarNode) or node.style in {"|", ">"}:
        return None
    if node.style == '"' and not text[:1].isdigit():
        text = json.dumps(text)
    return Edit(node.start_mark.index, node.end_mark.index, text)


def _prefixed(text: str, node: yaml.Node, words: str) -> Edit | None:
    if not isinstance(node, yaml.ScalarNode):
        return None
    start = node.start_mark.index
    if node.style in {"|", ">"}:
        start = text.find("\n", start) + 1
        while start < len(text) and text[start] in " \n":
            start += 1
    elif node.style in {"'", '"'}:
        start += 1
    return Edit(start, start, words)


def _added(text: str, node: yaml.Node, rest: Path, value: object) -> Edit | None:
    """A new field in a mapping that is there; what lies between comes with it."""
    if not isinstance(node, yaml.MappingNode) or not all(isinstance(one, str) for one in rest):
        return None
    tree = value
    for step in reversed(rest[1:]):
        tree = {step: tree}
    return _inserted(text, node, str(rest[0]), tree)


def _inserted(text: str, node: yaml.MappingNode, key: str, tree: object) -> Edit | None:
    own = [(name, value) for name, value in node.value if _holds(node, name)]
    if not own or _is_alias(node, Place(*own[-1])):
        return None
    first, last = own[0][0], own[-1][1]
    if node.flow_style:
        quoted = first.style == '"'
        name = json.dumps(key) if quoted else key
        end = last.end_mark.index
        return Edit(end, end, f", {name}: {_flow(tree, quoted=quoted)}")
    lines = _block({key: tree}, first.start_mark.column)
    end = _line_end(text, last)
    before = "" if end == 0 or text[end - 1] == "\n" else "\n"
    return Edit(end, end, before + "".join(f"{line}\n" for line in lines))


def _replaced(text: str, node: yaml.Node, value: object) -> Edit | None:
    """A whole mapping or list becomes another one, in the style that it had."""
    start = node.start_mark.index
    if not isinstance(node, yaml.MappingNode) or not isinstance(value, dict):
        return None
    if node.flow_style:
        quoted = bool(node.value) and node.value[0][0].style == '"'
        return Edit(start, node.end_mark.index, _flow(value, quoted=quoted))
    indent = node.start_mark.column
    lines = _block(value, indent)
    end = _line_end(text, node)
    return Edit(start, end, "".join(f"{line}\n" for line in lines)[indent:])


def _block(tree: dict[str, object], indent: int) -> list[str]:
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{' ' * indent}{key}:", *_block(value, indent + 2)]
        else:
            lines.append(f"{' ' * indent}{key}: {_plain(value)}")
    return lines


def _flow(value: object, *, quoted: bool = False) -> str:
    if quoted:
        return json.dumps(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {_flow(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    return _plain(value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _line_end(text: str, node: yaml.Node) -> int:
    """Where the line after a node's last word begins; the parser's own end may lie far behind."""
    inner: yaml.Node = node
    while True:
        children: Sequence[yaml.Node] = ()
        if isinstance(inner, yaml.MappingNode) and not inner.flow_style and inner.value:
            children = inner.value[-1]
        elif isinstance(inner, yaml.SequenceNode) and not inner.flow_style and inner.value:
            children = inner.value
        if not children:
            break
        inner = children[-1]
    end = int(inner.end_mark.index)
    if isinstance(inner, yaml.ScalarNode) and inner.style in {"|", ">"}:
        return end
    line_end = text.find("\n", end)
    return len(text) if line_end < 0 else line_end + 1
