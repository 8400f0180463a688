"""Manifest files: YAML read as kubectl reads it, with the line of every document."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from nodrop.check.broken import BrokenManifest
from nodrop.model.meta import Obj

#: The path that means standard input, as for ``kubectl apply -f -``.
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest. ``line`` counts from 1; ``folder`` is what relative paths mean.

    ``node`` and ``text`` (the parsed tree and the whole file) tell where each field stands.
    """

    obj: Obj
    file: str
    line: int
    folder: Path
    node: yaml.Node | None = field(default=None, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


_LoaderBase: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _KubernetesLoader(Composer, _LoaderBase):  # type: ignore[misc]  # one of two
    """PyYAML with the scalar rules that kubectl 1.32 was seen to follow.

    ``y``/``n``/``on``/``off`` are booleans, ``0o7`` is 7, ``1e3`` is 1000; ``12:30`` and dates
    are strings (stock PyYAML reads 750 and a date). A duplicate key is an error.

    Nodes are put together in Python: libyaml's binding does it on the C stack, without any bound.
    """

    def __init__(self, stream: str) -> None:
        _LoaderBase.__init__(self, stream)
        Composer.__init__(self)


_BOOLEANS = re.compile(r"^(?:y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE)$")
_NOT = re.compile(r"^(?:n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$")
_INTEGER = re.compile(r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"^[-+]?(?:(?:[0-9][0-9_]*)?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*\.?[eE][-+]?[0-9]+"
    r"|[0-9][0-9_]*\.)$"
)
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")


def _boolean(loader: Any, node: Any) -> bool:
    return bool(_BOOLEANS.match(loader.construct_scalar(node)))


def _integer(loader: Any, node: Any) -> int:
    """Raises ConstructorError for what no integer is made of, such as ``0x_``."""
    try:
        return _whole(loader.construct_scalar(node).replace("_", ""))
    except ValueError as error:
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


def _whole(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    for prefix, base in (("0b", 2), ("0o", 8), ("0x", 16)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    if digits != "0" and digits.startswith("0"):
        return sign * int(digits, 8)
    return sign * int(digits)


def _number(loader: Any, node: Any) -> float | int:
    value = float(loader.construct_scalar(node).replace("_", ""))
    return int(value) if value.is_integer() else value


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(
                None, None, "a mapping key must be a plain word", key_node.start_mark
            )
        text = key if isinstance(key, str) else str(key_node.value)
        if text in found:
            raise yaml.constructor.ConstructorError(
                None, None, f'key "{text}" already set in map', key_node.start_mark
            )
        found[text] = loader.construct_object(value_node, deep=True)
    return found


_KubernetesLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", _BOOLEANS, "yYtToO"),
    ("bool", _NOT, "nNfFoO"),
    ("int", _INTEGER, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", re.compile("^<<$"), "<"),
):
    _KubernetesLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))
_KubernetesLoader.add_constructor("tag:yaml.org,2002:bool", _boolean)
_KubernetesLoader.add_constructor("tag:yaml.org,2002:int", _integer)
_KubernetesLoader.add_constructor("tag:yaml.org,2002:float", _number)
_KubernetesLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_text(text: str, *, file: str, folder: Path) -> Iterator[Document]:
    """The objects in ``text``; a ``kind: List`` is taken apart. Raises BrokenManifest."""
    loader = _KubernetesLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None, "there is one"
            value = loader.construct_document(node)
            if value is None:
                continue
            whole = _Place(file, folder, text, node)
            yield from _objects(value, whole)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise BrokenManifest(_broken(file, where, text, error)) from error
    except yaml.YAMLError as error:
        raise BrokenManifest(f"{file}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise BrokenManifest(f"{file}: not a manifest: nested too deeply") from error
    finally:
        loader.dispose()


def read_files(paths: Iterable[Path]) -> list[Document]:
    """All objects of some files and folders (their ``*.yaml``, ``*.yml``, ``*.json``), in order.

    ``-`` is standard input; relative paths in it are meant from the current folder. Raises
    BrokenManifest for a missing file, bad YAML, or nothing at all.
    """
    documents: list[Document] = []
    for path in paths:
        for file in _files(path):
            name, folder, text = read_raw(file)
            documents.extend(read_text(text, file=name, folder=folder))
    if not documents:
        raise BrokenManifest("no Kubernetes object found in: " + ", ".join(map(str, paths)))
    return documents


def read_raw(file: Path) -> tuple[str, Path, str]:
    """(name, folder, text) of a file or of standard input. Raises BrokenManifest."""
    if file == STDIN:
        return "<stdin>", Path.cwd(), _text(sys.stdin.buffer.read(), "<stdin>")
    return str(file), file.parent.absolute(), _text(_bytes(file), str(file))


# Private


def _broken(file: str, where: str, text: str, error: yaml.MarkedYAMLError) -> str:
    if "{{" in text:
        render = "helm template RELEASE CHART > rendered.yaml"
        return f"{file}: is a Helm template, not a manifest; render it first: {render}"
    mark = error.problem_mark
    lines = text.splitlines()[mark.line : mark.line + 1] if mark else []
    tab = any("\t" in line[: len(line) - len(line.lstrip())] for line in lines)
    problem = "indented with a tab, it must be spaces" if tab else error.problem
    return f"{where}: not valid YAML: {problem}"


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        why = (error.strerror or "it can't be read").lower()
        raise BrokenManifest(f"{file}: {why}") from error


def _text(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BrokenManifest(f"{file}:{line}: not UTF-8 text (is it a manifest?)") from error


def _files(path: Path) -> list[Path]:
    if path == STDIN or not path.is_dir():
        return [path]
    found = [file for file in sorted(path.iterdir()) if file.suffix in {".yaml", ".yml", ".json"}]
    if not found:
        raise BrokenManifest(f"{path}: holds no .yaml, .yml or .json file")
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object stands: its file and its part of the parsed tree."""

    file: str
    folder: Path
    text: str
    node: yaml.Node

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    def item(self, index: int) -> _Place:
        """The place of one object of a List."""
        for key, value in self.node.value:
            if key.value == "items" and isinstance(value, yaml.SequenceNode):
                return replace(self, node=value.value[index])
        return self

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


_IN_WORDS = {str: "text", list: "a list", bool: "true or false"}


def _objects(value: object, place: _Place) -> Iterator[Document]:
    if not isinstance(value, dict):
        raise BrokenManifest(
            f"{place}: a Kubernetes object is a mapping with apiVersion and kind, "
            f"but this is {_IN_WORDS.get(type(value), 'a number')}"
        )
    if str(value.get("kind")).endswith("List") and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            yield from _objects(item, place.item(index))
        return
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name), str):
            raise BrokenManifest(f"{place}: {name}: Required value: e.g. apps/v1 Deployment")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise BrokenManifest(f"{place}: metadata.name: Required value: every object has one")
    yield Document(value, place.file, place.line, place.folder, place.node, place.text)
