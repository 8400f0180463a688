"""``nodrop plan``: what applying manifests would do, from the very code that would do it."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from nodrop.check.broken import BrokenManifest
from nodrop.cli.manifests import read_manifests, skip_unserved_option, warned
from nodrop.cli.session import (
    INTERRUPTED,
    Failure,
    connect,
    end,
    namespace_option,
    state_option,
)
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT
from nodrop.model.meta import Obj, ObjectKey, key_of
from nodrop.plan.assumptions import Assumptions, StartUp
from nodrop.plan.live import Live, creations
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.plan.report import PlanReport
    from nodrop.plan.world import PlanApi

_PLAIN_COLUMNS = 100


@click.command(short_help="Tell what applying manifests would do before it is done.")
@click.option(
    "-f", "--file", "files", multiple=True, required=True, type=click.Path(path_type=Path),
    help="Manifests as they shall be: a file or a folder (repeatable).",
)  # fmt: skip
@click.option(
    "--from", "old_files", multiple=True, type=click.Path(path_type=Path),
    help="Manifests as they are (default: what runs on the engine).",
)  # fmt: skip
@state_option
@namespace_option
@skip_unserved_option
@click.option(
    "--startup-s", type=click.FloatRange(min=0), default=None,
    help="Seconds from a container's start to its first answer (default: observed, else 5).",
)  # fmt: skip
@click.option("--request-s", type=click.FloatRange(min=0), default=0.2, show_default=True,
              help="Seconds that the longest requests take.")  # fmt: skip
@click.option("--request-rate", type=click.FloatRange(min=0), default=10.0, show_default=True,
              help="Requests per second over all pods.")  # fmt: skip
@click.option("--term-s", type=click.FloatRange(min=0), default=0.2, show_default=True,
              help="Seconds from SIGTERM to a container's end.")  # fmt: skip
@click.option("--hook-s", type=click.FloatRange(min=0), default=1.0, show_default=True,
              help="Seconds that an exec or HTTP hook takes.")  # fmt: skip
@click.option("--init-s", type=click.FloatRange(min=0), default=1.0, show_default=True,
              help="Seconds that an init container takes.")  # fmt: skip
@click.option("--no-worst-case", is_flag=True, help="Leave out: if no new pod ever is ready.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write a chart there.")
def plan(
    files: tuple[Path, ...],
    old_files: tuple[Path, ...],
    state: StateDir,
    namespace: str,
    skip_unserved: bool,
    startup_s: float | None,
    no_worst_case: bool,
    as_json: bool,
    svg: Path | None,
    **seconds: float,
) -> None:
    """Tell what applying manifests would do, second by second, before anything is touched.

    The real controllers and the real agent roll the change out on virtual time, with programs
    that start, serve and end as is assumed. Start-up times are taken from the pods that run,
    unless --startup-s says otherwise.
    """
    try:
        with _ended_at_once_by_interrupts():
            assumed = _assumptions(startup_s, seconds)
            report = _plan(
                files,
                old_files,
                state,
                namespace,
                assumed,
                skip_unserved=skip_unserved,
                worst_case=not no_worst_case,
            )
    except (Failure, ApiError, BrokenManifest, ExceptionGroup) as error:
        end(error)
    gc.freeze()  # a world of 10,000 pods is not taken apart object by object: the process ends
    if svg is not None:
        from nodrop.plan.svg import render_svg

        _write(svg, render_svg(report))
    click.echo(_json(report) if as_json else _text(report), nl=as_json)


# Private


@contextmanager
def _ended_at_once_by_interrupts() -> Iterator[None]:
    """Ctrl-C ends the process there and then.

    Unwinding a simulated world in mid-step would print a traceback for each of its pods.
    """

    ours = os.getpid()

    def end_now(_number: int, _frame: FrameType | None) -> None:
        if os.getpid() == ours:  # a process that was forked only just ends without a word
            for child in multiprocessing.active_children():
                child.kill()
            os.write(2, b"interrupted\n")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end_now)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _plan(
    files: Sequence[Path],
    old_files: Sequence[Path],
    state: StateDir,
    namespace: str,
    assumed: Assumptions,
    *,
    skip_unserved: bool,
    worst_case: bool,
) -> PlanReport:
    from nodrop.cli.apply import apply_all, prepare, warnings_of
    from nodrop.plan.report import report_of
    from nodrop.plan.run import Change, play, play_both

    documents = read_manifests(files, skip_unserved=skip_unserved)
    new = prepare(documents, namespace)
    for warning in (*warnings_of(documents), *_remarks(new)):
        warned(warning)
    deployments = _deployments_of(new)
    if old_files:
        old = read_manifests(old_files, skip_unserved=skip_unserved)
        before = _applying(prepare(old, namespace))
    else:
        live = asyncio.run(_live(state, deployments))
        before = _creating(live)
        if assumed.startup.source == "assumed":
            assumed = live.with_observed(assumed)

    async def apply(api: PlanApi) -> None:
        await apply_all(api, new)

    change = Change(before=before, apply=apply, deployments=deployments)
    if not worst_case:
        return report_of(play(change, assumed), (), assumed)
    courses, stuck = play_both(change, assumed)
    return report_of(courses, stuck, assumed)


def _assumptions(startup_s: float | None, seconds: dict[str, float]) -> Assumptions:
    return Assumptions(
        startup=StartUp((5.0,), "assumed") if startup_s is None else StartUp((startup_s,), "given"),
        request_s=seconds["request_s"],
        requests_per_s=seconds["request_rate"],
        term_s=seconds["term_s"],
        hook_s=seconds["hook_s"],
        init_s=seconds["init_s"],
    )


def _deployments_of(objects: Sequence[Obj]) -> list[ObjectKey]:
    keys = [key for obj in objects if (key := key_of(obj)).kind == DEPLOYMENT]
    if not keys:
        raise Failure("there is no Deployment in these manifests: nothing would roll")
    return list(dict.fromkeys(keys))


def _remarks(objects: Sequence[Obj]) -> Iterator[str]:
    """What the API server would warn of, which a plan does not ask."""
    from nodrop.registry.checks import remarks

    for obj in objects:
        for text in remarks(key_of(obj).kind, obj):
            yield f"{obj['kind']} {obj['metadata']['name']}: {text}"


def _applying(objects: Sequence[Obj]) -> Callable[[PlanApi], Awaitable[None]]:
    from nodrop.cli.apply import apply_all

    async def before(api: PlanApi) -> None:
        await apply_all(api, objects)

    return before


def _creating(live: Live) -> Callable[[PlanApi], Awaitable[None]]:
    async def before(api: PlanApi) -> None:
        for obj in creations(live):
            try:
                await api.create(obj)
            except ApiError as error:
                if error.reason != "AlreadyExists":  # what the engine makes by itself
                    raise

    return before


async def _live(state: StateDir, deployments: Sequence[ObjectKey]) -> Live:
    from nodrop.plan.live import fetch

    try:
        async with connect(state) as client:
            return await fetch(client, deployments)
    except Failure as failure:
        raise Failure(
            str(failure),
            hint=f"without an engine, say what there is now: --from OLD.yaml; or {failure.hint}",
            code=failure.code,
        ) from failure


def _json(report: PlanReport) -> str:
    from nodrop.plan.report import as_json

    return json.dumps(as_json(report), indent=2)


def _text(report: PlanReport) -> str:
    from nodrop.plan.text import Paper, render_text

    if not sys.stdout.isatty():
        return render_text(report, Paper(_PLAIN_COLUMNS))
    return render_text(report, Paper(shutil.get_terminal_size().columns, colour=True))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        end(Failure(f"{path} can't be written: {error}"))
