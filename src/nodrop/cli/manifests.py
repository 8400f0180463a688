"""Which objects of the files a command is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from nodrop.check.broken import BrokenManifest
from nodrop.check.source import Document, read_files

_F = TypeVar("_F", bound=Callable[..., Any])


def skip_unserved_option(command: _F) -> _F:
    return click.option(
        "--skip-unserved",
        is_flag=True,
        help="Pass over objects of kinds that nodrop doesn't serve, with a warning each.",
    )(command)


def warned(text: object) -> None:
    """A warning for people, out of the way of a command's output."""
    click.echo(f"warning: {text}", err=True)


def read_manifests(
    files: Sequence[Path],
    *,
    skip_unserved: bool,
    warn: Callable[[str], None] = warned,
) -> list[Document]:
    """The documents of ``files``; those that nodrop doesn't serve are told and left out if asked.

    Raises BrokenManifest for what can't be read, and when nothing is left.
    """
    from nodrop.cli.unserved import without_unserved

    documents = read_files(files)
    if not skip_unserved:
        return documents
    left, passed = without_unserved(documents)
    for one in passed:
        warn(str(one))
    if not left:
        raise BrokenManifest("nodrop serves nothing in: " + ", ".join(map(str, files)))
    return left
