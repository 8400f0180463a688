"""Which files a check reads, and what is said of those that it can't."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nodrop.check.broken import BrokenManifest
from nodrop.check.source import STDIN, Document, read_raw, read_text

_SUFFIXES = {".yaml", ".yml", ".json"}
_OBJECT = re.compile(r"""^[\s{"'-]*apiVersion["']?\s*:""", re.MULTILINE)
_KUSTOMIZE = re.compile(r"""^[\s{"']*apiVersion["']?\s*:\s*["']?kustomize\.config""", re.MULTILINE)
_SKIPPED_FOLDERS = {"node_modules", "__pycache__"}


@dataclass(slots=True)
class Gathered:
    """What was found: objects, sentences on what can't be read, and hints."""

    documents: list[Document] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gather(paths: Iterable[Path]) -> Gathered:
    """Read files, folders (with all below them) and ``-``; never raises for what they hold.

    In a folder, files that hold no Kubernetes object (values, charts, workflows) are passed over;
    a file that was named itself must hold one.
    """
    found = Gathered()
    for path in paths:
        if path != STDIN and path.is_dir():
            _folder(path, found)
        else:
            _file(path, found, named=True)
    if not found.documents and not found.problems:
        found.problems.append("no Kubernetes object found in what was given")
    return found


# Private


def _folder(folder: Path, found: Gathered) -> None:
    files = sorted(_below(folder))
    kustomized = sorted({one.parent for one in files if one.stem == "kustomization"})
    for path in kustomized[:1]:
        found.notes.append(
            f"{path} is built by kustomize: its parts are judged as they are; to judge the whole: "
            f"kustomize build {path} | nodrop check -"
        )
    for file in files:
        _file(file, found, named=False)


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts[:-1]
        hidden = any(part.startswith(".") or part in _SKIPPED_FOLDERS for part in inside)
        if path.suffix in _SUFFIXES and path.is_file() and not hidden:
            yield path


def _file(file: Path, found: Gathered, *, named: bool) -> None:
    try:
        name, folder, text = read_raw(file)
    except BrokenManifest as error:
        found.problems.append(str(error))
        return
    if (not named and not _OBJECT.search(text)) or _KUSTOMIZE.search(text):
        return
    before = len(found.documents)
    try:
        found.documents.extend(read_text(text, file=name, folder=folder))
    except BrokenManifest as error:
        found.problems.append(str(error))
        return
    if named and len(found.documents) == before:
        found.problems.append(f"{name}: holds no Kubernetes object")
