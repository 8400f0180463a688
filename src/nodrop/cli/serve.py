"""``nodrop serve``: the engine in the foreground."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from nodrop.cli.session import USAGE, Failure, end, state_option
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.wiring.engine import Engine

log = logging.getLogger(__name__)


@click.command(short_help="Run the engine in the foreground.")
@state_option
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=None,
    help="Port of the Ingress; 0 takes a free one. Default: 80 where allowed and free, else 8080.",
)
@click.option(
    "--https-port",
    type=click.IntRange(0, 65535),
    default=None,
    help="The same for TLS. Default: 443 where allowed and free, else 8443.",
)
@click.option(
    "--api-port",
    type=click.IntRange(0, 65535),
    default=None,
    help="Port of the Kubernetes API on 127.0.0.1; 0: a free one. Default: 6443 or a free one.",
)
@click.option(
    "--bind",
    multiple=True,
    help="Address the Ingress and NodePorts listen on (repeatable, IPv4 or IPv6). Default: every "
    "address of this machine, also those that come later; NodePorts 127.0.0.1.",
)
@click.option(
    "--access-log/--no-access-log",
    default=None,
    help="Write every request to access.log in the state folder. Default: as before, else not.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=None,
    help="Serve /metrics on 127.0.0.1 without credentials too; 0: no more. Default: as before.",
)
@click.option(
    "--base-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="What relative commands mean in objects that were not sent by nodrop up. Default: here.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
def serve(
    state: StateDir,
    http_port: int | None,
    https_port: int | None,
    api_port: int | None,
    bind: tuple[str, ...],
    access_log: bool | None,
    metrics_port: int | None,
    base_dir: Path | None,
    log_level: str,
) -> None:
    """Run the engine in the foreground.

    SIGTERM and Ctrl-C end the control plane and leave pods and proxy running: traffic goes on,
    and the next ``nodrop serve`` adopts them. ``nodrop down`` ends everything (SIGUSR1),
    ``nodrop upgrade --proxy`` hands over to a new HAProxy (SIGUSR2). If the keeper, the parent of
    all pods, is killed, the engine starts again by itself, and all pods with it.
    """
    # aiohttp's lists of listeners in plain Python: the C++ ones are no quicker for the few there
    # are, and bring 2 MB with them.
    os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")
    from nodrop.journal import configure
    from nodrop.wiring.engine import Engine
    from nodrop.wiring.files import EngineFailure, KeeperLost
    from nodrop.wiring.parts import EngineOptions

    os.umask(0o077)  # what we write is for this user only; the keeper gives pods a umask of 022
    configure(log_level)
    options = EngineOptions(
        state=state,
        http_port=http_port,
        https_port=https_port,
        api_port=api_port,
        bind=bind,
        base_dir=(base_dir or Path.cwd()).absolute(),
        environment=dict(os.environ),
        access_log=access_log,
        metrics_port=metrics_port,
    )
    try:
        asyncio.run(_serve(Engine(options)))
    except KeeperLost as lost:
        log.error("%s; starting again", lost)
        _start_again()
    except EngineFailure as error:
        end(Failure(str(error), hint=error.hint, code=USAGE))
    sys.exit(0)


def _start_again() -> NoReturn:
    """Become an engine that has just been started, with the same options, pid and log.

    Nothing that this one holds is of use without its keeper, and whoever has put it into the
    background (``nodrop up``) does not watch it.
    """
    from nodrop.clock import SystemClock
    from nodrop.model.meta import format_time
    from nodrop.wiring.enginefile import STARTED_AGAIN

    os.environ[STARTED_AGAIN] = format_time(SystemClock().now())
    os.execv(sys.executable, [sys.executable, "-P", "-m", "nodrop", *sys.argv[1:]])


async def _serve(engine: Engine) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.stop)
    loop.add_signal_handler(signal.SIGUSR1, engine.stop_everything)
    loop.add_signal_handler(signal.SIGUSR2, engine.replace_proxy)
    await engine.run()
