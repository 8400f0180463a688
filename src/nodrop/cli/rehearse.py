"""``nodrop rehearse``: find out, before anybody is asked, whether an app survives a rollout."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nodrop.cli.manifests import read_manifests, skip_unserved_option
from nodrop.cli.session import Failure, first_of, namespace_option, runs, state_option
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.check.source import Document
    from nodrop.cli.rehearse_acts import Act
    from nodrop.cli.rehearse_aim import Aim
    from nodrop.cli.rehearse_paths import Traffic
    from nodrop.cli.rehearse_patience import Patience
    from nodrop.cli.rehearse_place import Mode, Place
    from nodrop.cli.rehearse_run import Found, Run
    from nodrop.model.meta import Obj
    from nodrop.rehearse.alone import AppFacts

_F = TypeVar("_F", bound=Callable[..., Any])
_PIPE_WIDTH = 200
_FILE = click.Path(path_type=Path, allow_dash=True)
_OUT = click.Path(dir_okay=False, path_type=Path)


def _load_options(command: _F) -> _F:
    """Which requests are sent."""
    for option in reversed(
        (
            click.option("--url", "gets", multiple=True, metavar="PATH",
                         help="Path to GET (repeatable; default: the Ingress's, else the "
                         "readiness probe's)."),
            click.option("--post", default="", metavar="PATH", help="Path to POST to (a quarter)."),
            click.option("--echo", "echoed", is_flag=True, help="POSTs are answered as sent."),
            click.option("--echo-header", "id_header", default="", metavar="NAME",
                         help="Header with our id that every answer must carry back."),
            click.option("--slow", default="", metavar="PATH", help="Path of long requests."),
            click.option("--slow-s", type=click.FloatRange(0), default=1.0, show_default=True,
                         help="Seconds that a long request takes."),
            click.option("--websocket", default="", metavar="PATH",
                         help="Path of a WebSocket that echoes messages."),
            click.option("--pod-header", default="X-Pod", show_default=True, metavar="NAME",
                         help="Answer header with the pod's name (not needed with a throwaway "
                         "engine)."),
            click.option("--rate", type=click.FloatRange(1, 5000), default=200.0,
                         show_default=True, help="Requests a second, whatever the app does."),
            click.option("--duration", "duration_s", type=click.FloatRange(0, 3600), default=20.0,
                         show_default=True, help="Seconds of load at least."),
            click.option("--timeout-s", type=click.FloatRange(0.1), default=10.0,
                         show_default=True, help="An answer later than this is lost."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def _place_options(command: _F) -> _F:
    """Where it takes place."""
    for option in reversed(
        (
            click.option("--mode", type=click.Choice(["nodrop", "cluster"]), default="nodrop",
                         show_default=True, help="How pods end: nodrop's order, or a cluster's."),
            click.option("--engine", type=click.Choice(["throwaway", "running"]),
                         default="throwaway", show_default=True,
                         help="One of its own, or the one that serves."),
            click.option("--context", default="", metavar="NAME",
                         help="A real cluster, by its context in $KUBECONFIG."),
            click.option("--target", default="", metavar="URL",
                         help="Where that cluster's Service answers on this machine."),
            click.option("--seed", type=int, default=1, show_default=True,
                         help="Which removals are seen late, and the mix of requests."),
            click.option("--keep", is_flag=True, hidden=True),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def _report_options(command: _F) -> _F:
    for option in reversed(
        (
            click.option("--json", "json_file", type=_OUT, help="Write all figures there."),
            click.option("--junit", type=_OUT, help="Write JUnit XML there."),
            click.option("--html", type=_OUT, help="Write one HTML page with pictures there."),
        )
    ):
        command = option(command)
    return command


@click.command(short_help="Roll an app under load in a throwaway engine and account for it.")
@click.option("-f", "--file", "files", multiple=True, required=True, type=_FILE,
              help="Manifests: a file or folder (repeatable).")  # fmt: skip
@click.option("--to", "new_files", multiple=True, type=_FILE,
              help="Manifests to roll out to (default: a rolling restart).")  # fmt: skip
@click.option("--restart", is_flag=True, help="A rolling restart, as without --to.")
@click.option("--act", "acts", multiple=True,
              type=click.Choice(["rollout", "restart", "scale-down", "eviction"]),
              help="Only these, in this order (default: all).")  # fmt: skip
@_load_options
@_place_options
@_report_options
@click.option("--no-probe", is_flag=True, help="Don't start the app alone first.")
@click.option("--ready-within", "ready_within_s", type=click.FloatRange(1), metavar="SECONDS",
              help="How long a pod may take until it is ready (default: what its probes "
              "allow, a minute at least).")  # fmt: skip
@state_option
@namespace_option
@skip_unserved_option
@runs
async def rehearse(
    files: tuple[Path, ...],
    new_files: tuple[Path, ...],
    restart: bool,
    acts: tuple[str, ...],
    state: StateDir,
    namespace: str,
    skip_unserved: bool,
    mode: Mode,
    engine: str,
    context: str,
    target: str,
    seed: int,
    keep: bool,
    json_file: Path | None,
    junit: Path | None,
    html: Path | None,
    no_probe: bool,
    ready_within_s: float | None,
    duration_s: float,
    **load: Any,
) -> int:
    """Deploy an app, send it requests at a constant rate, and end its pods in every way.

    Every request is answered, or lost for a cause that is told with the pod, the phase of its
    life and the mend. Exit code 0: none was lost. 1: some were, or the run could not show that
    none is (inconclusive).
    """
    from nodrop.cli.apply import prepare
    from nodrop.cli.rehearse_acts import plan_acts
    from nodrop.cli.rehearse_aim import aim_at, same_deployment
    from nodrop.cli.rehearse_patience import patience_with

    if restart and new_files:
        raise Failure("--restart and --to exclude each other", code=2)
    local = not context
    old, new = (
        prepare(documents, namespace, needs_command=local)
        for documents in _read(files, new_files, skip_unserved=skip_unserved)
    )
    aim = aim_at(old)
    pods = [aim.pod]
    if new:
        pods.append(same_deployment(aim, new)["spec"]["template"]["spec"])
    patience = patience_with(pods, ready_within_s)
    planned, left_out = plan_acts(acts, to=new, replicas=aim.replicas)
    traffic = _traffic(seed, load)
    async with _place(mode, seed, state, engine=engine, context=context, target=target,
                      keep=keep) as place:  # fmt: skip
        from nodrop.cli.rehearse_run import Run

        there = _placed(aim, place)
        facts = None if no_probe else await look(place, there, old, traffic, patience)
        run = Run(place, there, traffic=traffic, duration_s=duration_s, patience=patience)
        found = await _carried_out(run, old, planned)
    figures = _figures(found, aim, place, traffic, left_out)
    figures["app"] = facts.figures() if facts else None
    _write(figures, json_file=json_file, junit=junit, html=html)
    return 0 if figures["verdict"] == "pass" else 1


async def look(
    place: Place, aim: Aim, objects: list[Obj], traffic: Traffic, patience: Patience
) -> AppFacts:
    """What the app does by itself. Raises Failure when it does not become ready."""
    from nodrop.cli.rehearse_alone import look_at_app

    click.echo("the app alone: started and ended once")
    path = traffic.gets[0] if traffic.gets else aim.path
    return await look_at_app(
        place,
        aim,
        objects,
        path=path,
        slow=traffic.slow,
        slow_s=traffic.slow_s,
        patience=patience,
    )


# Private


def _read(*sides: tuple[Path, ...], skip_unserved: bool) -> list[list[Document]]:
    """The documents of each side; a side that was not given has none."""
    return [read_manifests(files, skip_unserved=skip_unserved) if files else [] for files in sides]


async def _carried_out(run: Run, old: list[Obj], acts: list[Act]) -> Found:
    """What the run has found. Raises Failure when the load itself failed."""
    from nodrop.rehearse.process import LoadFailed

    try:
        return await run.run(old, acts)
    except ExceptionGroup as group:
        if isinstance(first := first_of(group), LoadFailed):
            raise Failure(str(first)) from group
        raise


def _traffic(seed: int, load: dict[str, Any]) -> Traffic:
    from nodrop.cli.rehearse_paths import Traffic

    header = load.pop("id_header")
    if header:
        load |= {"id_header": header, "expect_id": True}
    return Traffic(seed=seed, **load)


@asynccontextmanager
async def _place(
    mode: Mode, seed: int, state: StateDir, *, engine: str, context: str, target: str, keep: bool
) -> AsyncIterator[Place]:
    from nodrop.cli import rehearse_place as places

    if context:
        if mode == "cluster":
            raise Failure("--context is a cluster: leave out --mode", code=2)
        async with places.cluster(context, target) as place:
            yield place
    elif engine == "running":
        if mode == "cluster":
            raise Failure(
                "--mode cluster is for throwaway engines only: it loses requests on purpose",
                hint="leave out --engine running",
                code=2,
            )
        async with places.running(state) as place:
            yield place
    else:
        async with places.throwaway(mode, seed, keep=keep) as place:
            yield place


def _placed(aim: Aim, place: Place) -> Aim:
    if not place.namespace:
        return aim
    return replace(
        aim,
        deployment=aim.deployment._replace(namespace=place.namespace),
        service=aim.service._replace(namespace=place.namespace),
        by_ingress=False,
    )


def _figures(
    found: Found, aim: Aim, place: Place, traffic: Traffic, left_out: list[str]
) -> dict[str, Any]:
    from nodrop.rehearse.figures import Setting, figures_of
    from nodrop.rehearse.ledger import write_ledger
    from nodrop.rehearse.verdict import completions_of, judge_rehearsal

    ledger = write_ledger(found.evidence, found.lives, completions_of(found.stages))
    behind = found.summary.behind.percentile_s(99)
    verdict = judge_rehearsal(ledger, found.stages, found.lives, behind_p99_s=behind)
    setting = Setting(
        name=aim.deployment.name,
        mode=place.mode,
        place=place.what,
        rate=traffic.rate,
        paths=found.paths,
        seed=traffic.seed,
        has_pre_stop=aim.has_pre_stop,
        grace_s=aim.grace_s,
        left_out=left_out,
    )
    return figures_of(
        setting,
        ledger=ledger,
        verdict=verdict,
        summary=found.summary,
        stages=found.stages,
        lives=found.lives,
        series=found.series,
        ended=found.ended,
    )


def _write(
    figures: dict[str, Any], *, json_file: Path | None, junit: Path | None, html: Path | None
) -> None:
    from rich.console import Console

    from nodrop.cli.rehearse_view import render_summary
    from nodrop.rehearse.junit import render_junit

    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if junit:
        junit.write_text(render_junit(figures), encoding="utf-8")
    if html:
        from nodrop.rehearse.page import render_page

        html.write_text(render_page(figures), encoding="utf-8")
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(render_summary(figures))
