"""``python -m bench``: measure everything in one run and print it beside the goals."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench import (
    api,
    endpoints,
    idle,
    killed,
    load,
    logging_cost,
    plan,
    ready,
    start,
    throughput,
    unroute,
)
from bench.engine import BenchFailed, say
from bench.figures import Figure, row_of


class Measure(Protocol):
    def __call__(self, *, quick: bool) -> Awaitable[list[Figure]]: ...


SECTIONS: dict[str, Measure] = {
    "throughput": throughput.measure,
    "ready": ready.measure,
    "unroute": unroute.measure,
    "endpoints": endpoints.measure,
    "killed": killed.measure,
    "start": start.measure,
    "idle": idle.measure_three,
    "probes": idle.measure_many,
    "plan": plan.measure,
    "load": load.measure,
    "logging": logging_cost.measure,
    "api": api.measure,
}


def main() -> int:
    """Exit 0 when everything could be measured, whether or not goals are met."""
    asked = _parser().parse_args()
    names = asked.only or list(SECTIONS)
    try:
        found, failed = asyncio.run(_run(names, quick=asked.quick))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("ended before all was measured")
        return 130
    _print(found)
    if asked.json:
        asked.json.write_text(json.dumps(report(found, failed), indent=2) + "\n")
    for name, why in failed.items():
        say(f"{name}: {why}")
    return 1 if failed else 0


async def _run(
    names: Sequence[str], *, quick: bool
) -> tuple[dict[str, list[Figure]], dict[str, str]]:
    """(figures, why not) by section."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found, failed = {}, {}
    for name in names:
        say(f"{name} …")
        try:
            found[name] = await SECTIONS[name](quick=quick)
        except BenchFailed as error:
            failed[name] = str(error)
    return found, failed


def report(found: dict[str, list[Figure]], failed: dict[str, str]) -> dict[str, Any]:
    """The JSON of a run."""
    return {
        "machine": {"cores": os.cpu_count(), "wrk": shutil.which("wrk") is not None},
        "figures": [figure.as_json(name) for name, all in found.items() for figure in all],
        "failed": failed,
    }


def _print(found: dict[str, list[Figure]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "measured", "goal", "met", "", title="nodrop, measured in one run")
    for figures in found.values():
        for figure in figures:
            table.add_row(*row_of(figure))
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, help="measure only this (repeatable)"
    )
    parser.add_argument("--quick", action="store_true", help="shorter and rougher")
    return parser


if __name__ == "__main__":
    sys.exit(main())
