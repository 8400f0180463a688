"""``nodrop uninstall``: removes the systemd unit again."""

from __future__ import annotations

import click

from nodrop.cli.session import Failure, runs
from nodrop.cli.systemd import is_of_user, systemctl, systemd_runs, unit_folder, unit_name


@click.command(short_help="Remove the systemd unit.")
@click.option("--user", is_flag=True, help="The unit of this user.")
@click.option("--system", is_flag=True, help="The unit of the machine (as root).")
@click.option("--name", default="nodrop", show_default=True, help="Name of the unit.")
@runs
async def uninstall(user: bool, system: bool, name: str) -> None:
    """Remove the systemd unit that nodrop install wrote.

    The control plane ends; pods, proxy and objects stay: nodrop up or serve finds them, nodrop
    down ends them.
    """
    user = is_of_user(user=user, system=system)
    file = unit_folder(user=user) / unit_name(name)
    if not file.exists():
        raise Failure(f"there is no {file}: nothing was removed")
    if systemd_runs():
        await systemctl("disable", "--now", file.name, user=user)
    try:
        file.unlink()
    except OSError as error:
        raise Failure(f"{file} can't be removed: {error.strerror or error}") from error
    if systemd_runs():
        await systemctl("daemon-reload", user=user)
    click.echo(f"removed: {file}")
    click.echo("hint: pods still run; nodrop down ends them")
