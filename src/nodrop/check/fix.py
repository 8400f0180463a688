"""Mending a manifest's text: the edits of all fixable findings, until none is left. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from nodrop.check.broken import BrokenManifest
from nodrop.check.edits import edited, edits_of
from nodrop.check.finding import Finding
from nodrop.check.judge import judge
from nodrop.check.settings import Settings
from nodrop.check.source import Document, read_text

_ROUNDS = 5  # what one mend uncovers, the next round mends


def fixed_texts(documents: Sequence[Document], settings: Settings) -> dict[str, str]:
    """The new text of each file that changes; all files are judged together."""
    texts = {one.file: one.text for one in documents}
    folders = {one.file: one.folder for one in documents}
    before = dict(texts)
    for _ in range(_ROUNDS):
        findings = judge(_read(texts, folders), settings)
        changed = _round(texts, findings)
        sound = {
            file: text
            for file, text in changed.items()
            if text != texts[file] and _is_sound(text, file)
        }
        if not sound:
            break
        texts.update(sound)
    return {file: text for file, text in texts.items() if text != before[file]}


def fixed_text(text: str, *, file: str, settings: Settings) -> str:
    """One file's text, mended."""
    documents = list(read_text(text, file=file, folder=Path()))
    return fixed_texts(documents, settings).get(file, text)


def diff_of(file: str, old: str, new: str) -> str:
    """A unified diff, as ``--diff`` shows it."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        fromfile=file,
        tofile=f"{file} (mended)",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


# Private


def _read(texts: dict[str, str], folders: dict[str, Path]) -> list[Document]:
    return [
        document
        for file, text in texts.items()
        for document in read_text(text, file=file, folder=folders[file])
    ]


def _round(texts: dict[str, str], findings: Sequence[Finding]) -> dict[str, str]:
    changed = {}
    for file, text in texts.items():
        found = [
            edit
            for finding in findings
            if finding.file == file
            for change in finding.fix
            if (edit := edits_of(finding.document, change))
        ]
        changed[file] = edited(text, found)
    return changed


def _is_sound(text: str, file: str) -> bool:
    """Whether an edited text can still be read: if not, it is better left as it was."""
    try:
        return bool(list(read_text(text, file=file, folder=Path())))
    except BrokenManifest:
        return False
