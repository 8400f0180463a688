"""Views that go on: drawn in place on a terminal, else printed again whenever they change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from nodrop.model.errors import ApiError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: What a view shows while the engine can't be asked, which it outlives.
_AWAY = "the engine does not answer: {}"


async def show(
    fetch: Callable[[], Awaitable[RenderableType]], *, every_s: float, console: Console
) -> None:
    """Draw what ``fetch`` says, again and again, until interrupted.

    An engine that is restarted meanwhile is waited for; the view says so.
    """
    from rich.live import Live
    from rich.text import Text

    with Live(Text("…"), console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                live.update(await fetch(), refresh=True)
            except ApiError as error:
                live.update(Text(_AWAY.format(error)), refresh=True)
            await asyncio.sleep(every_s)


async def print_changes(fetch: Callable[[], Awaitable[str]], *, every_s: float) -> None:
    """Print what ``fetch`` says, and again whenever it says something else, until interrupted."""
    before = ""
    while True:
        try:
            text = await fetch()
        except ApiError as error:
            text = _AWAY.format(error)
        if text != before:
            click.echo(text)
        before = text
        await asyncio.sleep(every_s)
