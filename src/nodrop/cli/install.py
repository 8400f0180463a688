"""``nodrop install``: a systemd unit, so that the engine starts at boot and is restarted."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from nodrop.cli.background import running_engine
from nodrop.cli.serve import serve
from nodrop.cli.session import USAGE, Failure, runs
from nodrop.cli.systemd import (
    SYSTEM_STATE,
    Unit,
    is_of_user,
    systemctl,
    systemctl_line,
    systemd_runs,
    unit_name,
)
from nodrop.statedir import StateDir, default_state_dir

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@click.command(short_help="Write a systemd unit that runs the engine.")
@click.argument("serve_arguments", nargs=-1)
@click.option("--user", is_flag=True, help="A unit of this user.")
@click.option("--system", is_flag=True, help="A unit of the machine (as root).")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"State folder. Default: as for every command; with --system {SYSTEM_STATE}.",
)
@click.option("--name", default="nodrop", show_default=True, help="Name of the unit: nodrop….")
@click.option("--run-as", metavar="USER", default="", help="With --system: whose process it is.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit; write nothing.")
@runs
async def install(
    serve_arguments: tuple[str, ...],
    user: bool,
    system: bool,
    state: Path | None,
    name: str,
    run_as: str,
    only_print: bool,
) -> None:
    """Write a systemd unit that runs nodrop serve, and enable it.

    The unit starts the engine at boot and again when it fails. Stopping or restarting it leaves
    pods and proxy running. SERVE_ARGUMENTS go to nodrop serve: nodrop install --user -- --bind ::1
    """
    user = is_of_user(user=user, system=system)
    unit = _unit(serve_arguments, user=user, state=state, name=name, run_as=run_as)
    if only_print:
        click.echo(unit.text(), nl=False)
        return
    _write(unit)
    click.echo(f"written: {unit.file}")
    if systemd_runs():
        await systemctl("daemon-reload", user=user)
        await systemctl("enable", unit.name, user=user)
        click.echo(f"enabled: it starts at boot; now: {_start_line(unit)}")
    else:
        click.echo("systemd does not run here; where it does:")
        for line in (("daemon-reload",), ("enable", "--now", unit.name)):
            click.echo(f"  {systemctl_line(*line, user=user)}")
    if user:
        click.echo("hint: to have it run without a login: loginctl enable-linger")
    if running_engine(StateDir(unit.state)):
        click.echo(
            f"hint: an engine runs with {unit.state} already, outside of the unit: nodrop down "
            "first, then start the unit"
        )


# Private


def _unit(
    serve_arguments: tuple[str, ...],
    *,
    user: bool,
    state: Path | None,
    name: str,
    run_as: str,
) -> Unit:
    if run_as and user:
        raise Failure("--run-as needs --system", code=USAGE)
    if run_as and not _is_known(run_as):
        raise Failure(
            f"--run-as {run_as}: this machine has no such user, so the unit would never start",
            hint=f"make one first, for instance: useradd --system {run_as}",
            code=USAGE,
        )
    _check(serve_arguments)
    programs = os.environ.get("PATH", os.defpath) if user else _SYSTEM_PATH
    root = state or (default_state_dir() if user else SYSTEM_STATE)
    return Unit(
        name=unit_name(name),
        user=user,
        python=sys.executable,
        state=root.absolute(),
        folder=Path.home() if user else Path("/"),
        path=f"{Path(sys.executable).parent}:{programs}",
        arguments=serve_arguments,
        run_as=run_as,
    )


def _check(serve_arguments: Sequence[str]) -> None:
    """Have ``nodrop serve`` read its options now: the unit would fail at every start instead."""
    try:
        context = serve.make_context("nodrop serve", list(serve_arguments))
    except click.UsageError as error:
        raise Failure(
            f"nodrop serve: {error.format_message()}",
            hint="what stands after -- is for nodrop serve; nodrop serve --help lists its options",
            code=USAGE,
        ) from error
    _check_meaning(context)
    if context.get_parameter_source("state") is ParameterSource.COMMANDLINE:
        raise Failure(
            "--state after --: the unit says it already",
            hint="before --: nodrop install --state DIR",
            code=USAGE,
        )


def _check_meaning(context: click.Context) -> None:
    """What click can't see: addresses, and that a unit runs in a folder of its own."""
    from nodrop.wiring.files import EngineFailure
    from nodrop.wiring.listening import check_addresses

    try:
        check_addresses(context.params["bind"])
    except EngineFailure as error:
        raise Failure(f"nodrop serve: {error}", hint=error.hint, code=USAGE) from error
    folder: Path | None = context.params["base_dir"]
    if folder is not None and not folder.is_absolute():
        raise Failure(
            f"nodrop serve: --base-dir {folder}: the unit runs in another folder",
            hint=f"--base-dir {folder.absolute()}",
            code=USAGE,
        )


def _is_known(user: str) -> bool:
    """By name, or by number as systemd takes it too."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return user.isdecimal()
    return True


def _write(unit: Unit) -> None:
    try:
        unit.file.parent.mkdir(parents=True, exist_ok=True)
        unit.file.write_text(unit.text(), encoding="utf-8")
        unit.file.chmod(0o644)
    except OSError as error:
        raise Failure(
            f"{unit.file} can't be written: {error.strerror or error}",
            hint="use sudo, --user, or --print to write it yourself",
        ) from error


def _start_line(unit: Unit) -> str:
    return systemctl_line("start", unit.name, user=unit.user)
