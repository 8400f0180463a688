"""``nodrop check``: judge manifests before they run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from nodrop.cli.session import FAILED, USAGE

if TYPE_CHECKING:
    from nodrop.check.output.report import Report
    from nodrop.check.reading import Gathered
    from nodrop.check.settings import Settings

_LEVELS = click.Choice(["error", "warning", "info"])
_FORMATS = click.Choice(["text", "json", "sarif", "github", "junit"])
_STYLES: dict[str, dict[str, Any]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow", "bold": True},
    "info": {"fg": "cyan"},
    "dim": {"dim": True},
}


@click.command(short_help="Find what would lose requests, before it is deployed.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--target",
    type=click.Choice(["nodrop", "cluster", "both"]),
    help="Where it is to run: rules that don't hold there are left out (default: both).",
)
@click.option("--fail-on", type=_LEVELS, help="Exit with 1 from this level on (default: warning).")
@click.option("--select", multiple=True, help="Only these rules: ND301, or ND3 for a group.")
@click.option("--ignore", multiple=True, help="Not these rules.")
@click.option(
    "--peak-utilisation", type=float, help="Share of its capacity a pod uses at peak, as 0.7."
)
@click.option("--longest-request-s", type=float, help="Seconds of the longest request (10).")
@click.option(
    "--propagation-s", type=float, help="Seconds a cluster still sends to a pod that ends (5)."
)
@click.option("--start-up-s", type=float, help="Seconds the application needs to start.")
@click.option("--format", "form", type=_FORMATS, default="text", show_default=True)
@click.option("--fix", is_flag=True, help="Mend in the files what can safely be mended.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings (default: the nearest nodrop.toml, or pyproject.toml with tool.nodrop.check).",
)
def check(
    files: tuple[Path, ...],
    form: str,
    fix: bool,
    diff: bool,
    config: Path | None,
    **flags: object,
) -> None:
    """Find what would lose requests, before it is deployed.

    FILES are manifests, folders (with all below them), or - for standard input, e.g. from
    kustomize build or helm template. All are judged together. Exit codes: 0 fine, 1 findings,
    2 usage, or something that can't be read.
    """
    from nodrop.check.finding import at_least
    from nodrop.check.judge import judge
    from nodrop.check.output.report import Report
    from nodrop.check.reading import gather

    settings = _settings(config, flags)
    found = gather(files)
    if fix or diff:
        _mend(found, settings, in_place=fix and not diff)
        if diff:
            _end(found)
    findings = judge(found.documents, settings) if found.documents else []
    names = tuple(dict.fromkeys(document.file for document in found.documents))
    report = Report(findings, names, tuple(found.problems), settings.fail_on)
    for note in (*found.notes, *_refused(found, settings)):
        click.echo(f"note: {note}", err=True)
    if report.files or form != "text":  # nothing could be read: the errors say it
        _show(report, form)
    _end(found, failed=any(at_least(one.level, settings.fail_on) for one in findings))


# Private


def _settings(config: Path | None, flags: dict[str, object]) -> Settings:
    """The configuration file's, then the flags'."""
    from nodrop.check.config import BadConfig, find_config, read_config, settings_from
    from nodrop.check.settings import Settings

    given = {
        key.replace("_", "-"): value for key, value in flags.items() if value not in (None, ())
    }
    for key in ("select", "ignore"):
        if key in given:
            words = given[key]
            assert isinstance(words, tuple)
            given[key] = [one.strip() for word in words for one in word.split(",")]
    try:
        file = config or find_config(Path.cwd())
        base = read_config(file) if file else Settings()
        return settings_from(given, "option", base)
    except BadConfig as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(USAGE)


def _mend(found: Gathered, settings: Settings, *, in_place: bool) -> None:
    """Show or write the mended texts; what is written is judged anew."""
    from nodrop.check.fix import diff_of, fixed_texts
    from nodrop.check.reading import gather

    if any(one.file == "<stdin>" for one in found.documents) and in_place:
        click.echo("error: --fix can't write to standard input; use --diff, or a file", err=True)
        sys.exit(USAGE)
    old = {one.file: one.text for one in found.documents}
    mended = fixed_texts(found.documents, settings)
    for file, text in mended.items():
        if in_place:
            _write(Path(file), old[file], text)
            click.echo(f"mended: {file}", err=True)
        else:
            click.echo(diff_of(file, old[file], text), nl=False)
    if in_place and mended:
        found.documents = gather(map(Path, old)).documents


def _refused(found: Gathered, settings: Settings) -> list[str]:
    """For nodrop alone: what ``nodrop up`` would refuse. No rule, since a cluster takes it."""
    from nodrop.check.finding import NODROP
    from nodrop.cli.apply import refused_here

    if settings.targets != NODROP:
        return []
    return [f"nodrop up would refuse this: {fault}" for fault in refused_here(found.documents)]


def _write(file: Path, old: str, new: str) -> None:
    """Replace the text; a mark at its beginning and its kind of line ends stay."""
    raw = file.read_bytes()
    mark = b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b""
    if "\r\n" in old:
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    file.write_bytes(mark + new.encode())


def _show(report: Report, form: str) -> None:
    from nodrop.check.output import FORMATS
    from nodrop.check.output.text import render

    if form == "text":
        color = False if os.environ.get("NO_COLOR") else None
        text = render(report, lambda word, style: click.style(word, **_STYLES[style]))
        click.echo(text, color=color)
    else:
        click.echo(FORMATS[form](report))


def _end(found: Gathered, *, failed: bool = False) -> NoReturn:
    """Say what could not be read, and exit."""
    for problem in found.problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(USAGE if found.problems else FAILED if failed else 0)
