"""The ``nodrop`` command: finds the subcommand's file and hands over."""

from __future__ import annotations

import click


@click.group()
def main() -> None:
    """Roll out new versions of a service on one machine and drop no request."""
