"""``nodrop kubeconfig``: for kubectl and every other Kubernetes client."""

from __future__ import annotations

import click

from nodrop.cli.session import runs, state_option
from nodrop.statedir import StateDir


@click.command(short_help="Print the kubeconfig for kubectl.")
@state_option
@click.option("--path", is_flag=True, help="Print where the file is instead of what it holds.")
@runs
async def kubeconfig(state: StateDir, path: bool) -> None:
    """Print the kubeconfig of the engine.

    export KUBECONFIG=$(nodrop kubeconfig --path); kubectl get pods
    """
    from nodrop.cli.session import engine_of

    engine_of(state)
    click.echo(str(state.kubeconfig) if path else state.kubeconfig.read_text(), nl=path)
