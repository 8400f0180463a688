"""The documents are true where a test can tell: links lead somewhere, commands and flags exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from nodrop.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "examples").rglob("README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def commands(page: Path) -> list[list[str]]:
    """The ``nodrop …`` and ``./dev …`` lines of a page's code blocks, comments cut."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(("nodrop ", "./dev "))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_flags_exist(page: Path) -> None:
    known = re.findall(r"^  ([a-z]+)\)", (ROOT / "dev").read_text(), re.MULTILINE)
    for program, name, *rest in commands(page):
        if program == "./dev":
            assert name in known, f"./dev {name}"
            continue
        command: click.Command | None = main
        for word in (name, *(word for word in rest if not word.startswith("-"))):
            if not isinstance(command, click.Group):
                break
            command = command.get_command(click.Context(command), word)
            assert command is not None, f"nodrop {name}: {word}"
        assert command is not None
        flags = {flag for parameter in command.params for flag in parameter.opts}
        used = {word.partition("=")[0] for word in rest if word.startswith("-")}
        assert used <= flags | {"-h", "--help"}, f"nodrop {name}: {used - flags}"
