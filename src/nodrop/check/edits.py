"""Changes of a manifest as edits of its text: comments and layout stay. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from nodrop.check.finding import Change, Prefix, RenameKey, SetValue
from nodrop.check.position import Path, place_of
from nodrop.check.source import Document


@dataclass(frozen=True, slots=True)
class Edit:
    """The characters from ``start`` to ``end`` become ``text``."""

    start: int
    end: int
    text: str


def edits_of(document: Document, change: Change) -> Edit | None:
    """The edit that makes a change, or None where the text gives no safe place for it."""
    match change:
        case RenameKey(path, name):
            place = place_of(document, path)
            return _scalar(document, place.key, name) if place else None
        case Prefix(path, words):
            return _prefixed(document, path, words)
        case SetValue(path, value):
            place = place_of(document, path)
            if place is None:
                return _added(document, path, value)
            if isinstance(place.value, yaml.ScalarNode):
                return _scalar(document, place.value, _flow(value))
            return _replaced(document, place.value, value)


def edited(text: str, edits: Iterable[Edit]) -> str:
    """``text`` with the edits made; of two that overlap, the later one waits for another round."""
    last = len(text) + 1
    for edit in sorted(set(edits), key=lambda one: (one.start, one.end), reverse=True):
        if edit.end <= last and edit.start < last:
            text = text[: edit.start] + edit.text + text[edit.end :]
            last = edit.start
    return text


# Private


def _scalar(document: Document, node: yaml.Node | None, text: str) -> Edit | None:
    """A plain or quoted scalar's text is replaced, its quotes too."""
    if not isinstance(node, yaml.ScalarNode) or node.style in {"|", ">"}:
        return None
    start, end = node.start_mark.index, node.end_mark.index
    if node.style == '"' and not text[:1].isdigit():
        text = json.dumps(text)
    return Edit(start, end, text)


def _prefixed(document: Document, path: Path, words: str) -> Edit | None:
    place = place_of(document, path)
    if place is None or not isinstance(place.value, yaml.ScalarNode):
        return None
    node = place.value
    start = node.start_mark.index
    if node.style in {"|", ">"}:
        start = document.text.find("\n", start) + 1
        while start < len(document.text) and document.text[start] in " \n":
            start += 1
    elif node.style in {"'", '"'}:
        start += 1
    return Edit(start, start, words)


def _added(document: Document, path: Path, value: object) -> Edit | None:
    """A new field in the nearest mapping that is there; what lies between comes with it."""
    for length in range(len(path) - 1, -1, -1):
        place = place_of(document, path[:length])
        if place is None:
            continue
        if not isinstance(place.value, yaml.MappingNode) or not place.value.value:
            return None
        tree = value
        for step in reversed(path[length + 1 :]):
            tree = {step: tree}
        return _inserted(document, place.value, str(path[length]), tree)
    return None


def _inserted(document: Document, node: yaml.MappingNode, key: str, tree: object) -> Edit | None:
    first, last = node.value[0][0], node.value[-1][1]
    if node.flow_style:
        quoted = first.style == '"'
        name = json.dumps(key) if quoted else key
        end = last.end_mark.index
        return Edit(end, end, f", {name}: {_flow(tree, quoted=quoted)}")
    indent = first.start_mark.column
    lines = _block({key: tree}, indent)
    end = _line_end(document.text, last)
    before = "" if end == 0 or document.text[end - 1] == "\n" else "\n"
    return Edit(end, end, before + "".join(f"{line}\n" for line in lines))


def _replaced(document: Document, node: yaml.Node, value: object) -> Edit | None:
    """A whole mapping or list becomes another one, in the style that it had."""
    start = node.start_mark.index
    if not isinstance(node, yaml.MappingNode) or not isinstance(value, dict):
        return None
    if node.flow_style:
        quoted = bool(node.value) and node.value[0][0].style == '"'
        return Edit(start, node.end_mark.index, _flow(value, quoted=quoted))
    indent = node.start_mark.column
    lines = _block(value, indent)
    end = _line_end(document.text, node)
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
