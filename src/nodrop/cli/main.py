"""The ``nodrop`` command: finds the subcommand's file and hands over."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

import nodrop

#: Command → (module under nodrop.cli, one line of help). Modules are imported when they are used.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "Apply manifests, follow the rollout, print the URLs."),
    "check": ("check", "Find what would lose requests, before it is deployed."),
    "plan": ("plan", "Tell what applying manifests would do, before it is done."),
    "rehearse": ("rehearse", "Roll an app under load in a throwaway engine and account for it."),
    "explain": ("explain", "Say why a deployment, replicaset or pod is as it is."),
    "down": ("down", "Delete the objects of manifests; without any: stop everything gracefully."),
    "status": ("status", "Show deployments, pods, versions, URLs and the last events."),
    "top": ("top", "Show what pods and services use and answer, live."),
    "logs": ("logs", "Print what a pod or a deployment's pods wrote."),
    "rollout": ("rollout", "Follow, list, undo, pause, resume or restart rollouts."),
    "kubeconfig": ("kubeconfig", "Print the kubeconfig (or its path) for kubectl."),
    "user": ("user", "Let others use the API: add, list and remove users."),
    "serve": ("serve", "Run the engine in the foreground."),
    "upgrade": ("upgrade", "Replace the control plane, or the proxy, under running pods."),
    "install": ("install", "Write a systemd unit that runs the engine, from boot on."),
    "uninstall": ("uninstall", "Remove the systemd unit."),
    "demo": ("demo", "Roll four versions under load and count what is lost."),
}
#: For those who work on nodrop itself: not listed, but there.
HIDDEN: dict[str, str] = {"sim": "sim"}


class _Lazy(click.Group):
    """A group whose commands are imported only when one of them runs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; Ctrl-C ends it in one line and 130, also while a command is being imported."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = HIDDEN.get(cmd_name) or COMMANDS.get(cmd_name, ("", ""))[0]
        if not name:
            return None
        module = importlib.import_module(f"nodrop.cli.{name}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(nodrop.__version__, prog_name="nodrop")
def main() -> None:
    """Roll out new versions of a service on one machine and drop no request.

    Manifests are Kubernetes manifests; kubectl works as a client (see: nodrop kubeconfig).
    Exit codes: 0 fine, 1 a failed rollout or a finding, 2 usage, 3 engine unreachable.
    """
