"""``nodrop top``: pods and services with CPU, memory, requests a second and how long they take."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from nodrop.cli.session import connect, runs, state_option
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from nodrop.client.http import HttpClient

_PATH = "/nodrop/top"
_MIB = 1024 * 1024
_NARROW = 100


@click.command(short_help="Show what pods and services use and answer.")
@state_option
@click.option("-n", "--namespace", help="Only this namespace (default: all).")
@click.option("--once", is_flag=True, help="Print once and end, as without a terminal.")
@click.option(
    "--interval",
    "every_s",
    type=click.FloatRange(min=0.2),
    default=2.0,
    show_default=True,
    help="Seconds from one look to the next.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts: print one JSON object.")
@runs
async def top(
    state: StateDir, namespace: str | None, once: bool, every_s: float, as_json: bool
) -> None:
    """Show CPU, memory, requests a second, p50 and p99 of pods and services, live.

    Rates are over the last 15 seconds, p50 and p99 over the last minute and a sample of the
    requests: p50 from 5 on, p99 from 20 on. Ctrl-C ends it.
    """
    from rich.console import Console

    from nodrop.cli.live import show

    console = Console()
    async with connect(state) as client:
        if as_json:
            click.echo(json.dumps(await _fetch(client, namespace), indent=2))
        elif once or not sys.stdout.isatty():
            console.width = max(console.width, 120)
            console.print(view(await _fetch(client, namespace)))
        else:

            async def fetch() -> RenderableType:
                narrow = console.width < _NARROW
                return view(await _fetch(client, namespace), narrow=narrow)

            await show(fetch, every_s=every_s, console=console)


def only(found: Obj, namespace: str | None) -> Obj:
    """The rows of one namespace, or all."""
    if namespace is None:
        return found
    kept = {
        name: [row for row in found[name] if row["namespace"] == namespace]
        for name in ("services", "pods")
    }
    return {**found, **kept}


async def _fetch(client: HttpClient, namespace: str | None) -> Obj:
    return only(await client.get_raw(_PATH), namespace)


def view(found: Obj, *, narrow: bool = False) -> RenderableType:
    """Both tables; a narrow one leaves out a namespace that is everybody's, to keep pods' names."""
    from rich.console import Group

    services, pods = found["services"], found["pods"]
    shared = narrow and len({row["namespace"] for row in (*services, *pods)}) == 1
    return Group(
        _services(services, narrow=narrow, bare=shared),
        "",
        _pods(pods, narrow=narrow, bare=shared),
    )


def _services(rows: Iterable[Obj], *, narrow: bool, bare: bool) -> Table:
    table = _table("SERVICE", *_TRAFFIC, narrow=narrow)
    for row in rows:
        table.add_row(_name(row, f"{row['service']}:{row['port']}", bare=bare), *_traffic(row))
    return table


def _pods(rows: Iterable[Obj], *, narrow: bool, bare: bool) -> Table:
    table = _table("POD", "VERSION", "CPU", "MEMORY", *_TRAFFIC, narrow=narrow)
    for row in rows:
        table.add_row(
            _name(row, row["pod"], bare=bare),
            row["version"],
            f"{row['cpu_cores'] * 1000:.0f}m",
            f"{row['memory_bytes'] / _MIB:.0f}Mi",
            *_traffic(row),
        )
    return table


def _name(row: Obj, name: str, *, bare: bool) -> str:
    return name if bare else f"{row['namespace']}/{name}"


_TRAFFIC = ("REQ/S", "ERR/S", "IN FLIGHT", "P50 MS", "P99 MS")


def _traffic(row: Obj) -> list[str]:
    return [
        f"{row['requests_per_s']:.1f}",
        f"{row['errors_per_s']:.1f}",
        str(row["in_flight"]),
        *("–" if row[name] is None else f"{row[name]:.0f}" for name in ("p50_ms", "p99_ms")),
    ]


def _table(first: str, *columns: str, narrow: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, overflow="ellipsis")  # the only one that gives way
    for column in columns:
        header = column.replace(" ", "\n") if narrow else column
        table.add_column(header, justify="right", no_wrap=True)
    return table
