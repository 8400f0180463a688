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


@click.command(short_help="Show what pods and services use and answer.")
@state_option
@click.option("-n", "--namespace", help="Only this namespace (default: all).")
@click.option("--once", is_flag=True, help="Print once and end, as without a terminal.")
@click.option("--interval", "every_s", type=click.FloatRange(min=0.2), default=2.0)
@click.option("--json", "as_json", is_flag=True, help="For scripts: print one JSON object.")
@runs
async def top(
    state: StateDir, namespace: str | None, once: bool, every_s: float, as_json: bool
) -> None:
    """Show CPU, memory, requests a second, p50 and p99 of pods and services, live.

    Rates are over the last 15 seconds, p50 and p99 over the last minute and a sample of the
    requests. Ctrl-C ends it.
    """
    from rich.console import Console

    from nodrop.cli.live import show

    console = Console()
    async with connect(state) as client:
        if as_json:
            click.echo(json.dumps(await _fetch(client, namespace), indent=2))
        elif once or not sys.stdout.isatty():
            console.width = max(console.width, 120)
            console.print(_view(await _fetch(client, namespace)))
        else:

            async def fetch() -> RenderableType:
                return _view(await _fetch(client, namespace))

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


def _view(found: Obj) -> RenderableType:
    from rich.console import Group

    return Group(_services(found["services"]), "", _pods(found["pods"]))


def _services(rows: Iterable[Obj]) -> Table:
    table = _table("SERVICE", *_TRAFFIC)
    for row in rows:
        table.add_row(f"{row['namespace']}/{row['service']}:{row['port']}", *_traffic(row))
    return table


def _pods(rows: Iterable[Obj]) -> Table:
    table = _table("POD", "VERSION", "CPU", "MEMORY", *_TRAFFIC)
    for row in rows:
        table.add_row(
            f"{row['namespace']}/{row['pod']}",
            row["version"],
            f"{row['cpu_cores'] * 1000:.0f}m",
            f"{row['memory_bytes'] / _MIB:.0f}Mi",
            *_traffic(row),
        )
    return table


_TRAFFIC = ("REQ/S", "ERR/S", "IN FLIGHT", "P50 MS", "P99 MS")


def _traffic(row: Obj) -> list[str]:
    return [
        f"{row['requests_per_s']:.1f}",
        f"{row['errors_per_s']:.1f}",
        str(row["in_flight"]),
        *("–" if row[name] is None else f"{row[name]:.0f}" for name in ("p50_ms", "p99_ms")),
    ]


def _table(first: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
