"""``nodrop demo``: four versions of a service rolled over each other under load."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodrop.cli.session import Failure, connect, engine_of, runs

if TYPE_CHECKING:
    from nodrop.cli.demo_report import Report
    from nodrop.cli.demo_view import Picture

_LINE_EVERY_S = 1.0
_PIPE_WIDTH = 200


@click.command(short_help="Roll four versions under load and count what is lost.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all figures there.",
)
@click.option("--fast", is_flag=True, help="End within 30 s: shorter stages, more surge.")
@click.option("--rate", type=click.FloatRange(1, 5000), default=500.0, show_default=True)
@click.option("--keep", is_flag=True, help="Leave the engine and its pods running.")
@runs
async def demo(json_file: Path | None, fast: bool, rate: float, keep: bool) -> int:
    """Roll four versions of examples/hello under load and count what is lost.

    Starts an engine in a folder of its own, sends requests at a constant rate through the
    Ingress all the time, and cleans up after itself. Exit code 1 if a request was lost, or if
    the run could not show that none is.
    """
    from nodrop.cli.demo_view import render_report

    try:
        with _ended_by_sigterm():
            report = await _run(fast=fast, rate=rate, keep=keep)
    except ExceptionGroup as group:
        raise _first(group) from group
    if json_file:
        json_file.write_text(json.dumps(report.figures, indent=2) + "\n", encoding="utf-8")
    _print(render_report(report.figures))
    return report.exit_code


async def _run(*, fast: bool, rate: float, keep: bool) -> Report:
    from nodrop.cli.demo_engine import memory_of, own_engine
    from nodrop.cli.demo_examples import demo_script
    from nodrop.cli.demo_report import report_of
    from nodrop.cli.demo_run import Run, pace_of

    script = demo_script()
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with own_engine(keep=keep) as (state, engine), connect(state) as client:
        url = engine["http"]["urls"][0]
        click.echo(f"engine up after {loop.time() - started:.1f} s: {url} (state {state.root})")
        with _display() as show:
            run = Run(client, url=url, script=script, pace=pace_of(rate, fast=fast), show=show)
            found = await run.run()
        return report_of(
            summary=found.summary,
            stages=found.stages,
            lives=found.lives,
            memory_bytes=memory_of(engine_of(state)),
            seconds=loop.time() - started,
            rate=rate,
        )


@contextmanager
def _display() -> Iterator[Callable[[Picture], None]]:
    """A live picture in a terminal, a line a second elsewhere."""
    from nodrop.cli.demo_view import plain_line, render_picture

    if not sys.stdout.isatty():
        yield _every_second(lambda picture: click.echo(plain_line(picture)))
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda picture: live.update(render_picture(picture), refresh=True)


def _every_second(say: Callable[[Picture], None]) -> Callable[[Picture], None]:
    loop, last = asyncio.get_running_loop(), float("-inf")

    def show(picture: Picture) -> None:
        nonlocal last
        if loop.time() >= last + _LINE_EVERY_S:
            last = loop.time()
            say(picture)

    return show


def _print(what: object) -> None:
    from rich.console import Console

    # Where there is no terminal rich takes 80 columns, and would break lines in the middle.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(what)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, with everything it started. Raises Failure (143)."""
    task, terminated = asyncio.current_task(), False
    assert task is not None

    def end() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise Failure("ended by SIGTERM", code=128 + signal.SIGTERM) from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _first(error: Exception) -> Exception:
    """The first failure of a group, however deep, as one that a command may end in."""
    from nodrop.rehearse.process import LoadFailed

    if isinstance(error, ExceptionGroup):
        return _first(error.exceptions[0])
    return Failure(str(error)) if isinstance(error, LoadFailed) else error
