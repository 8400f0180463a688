"""``nodrop sim``: simulate rollouts with faults on virtual time; ``./dev sim`` calls it."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from nodrop.sim.generate import scenario_of
from nodrop.sim.scenario import Scenario, from_json, to_json
from nodrop.sim.world import Result, simulate

#: Where failing seeds are kept; every test run plays them again.
SEEDS = Path("tests/sim/seeds")
_PORTION = 16  # seeds a process gets at a time


@click.command(hidden=True)
@click.argument("seed", type=int, required=False)
@click.option(
    "--seeds", "count", type=click.IntRange(1), help="Run so many seeds and print a summary."
)
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="Run seed after seed for so long."
)
@click.option("--from", "first", type=int, default=1, show_default=True, help="The first seed.")
@click.option("--no-faults", is_flag=True, help="Users act, but nothing goes wrong.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replay a file.",
)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1,
              help="Processes for --seeds.")  # fmt: skip
def sim(
    seed: int | None,
    count: int | None,
    minutes: float | None,
    first: int,
    no_faults: bool,
    path: Path | None,
    workers: int,
) -> None:
    """Simulate rollouts with faults on virtual time.

    With SEED the run is replayed with its full timeline; with --seeds N many are run, and each
    one that fails is written to tests/sim/seeds.
    """
    if count is not None or minutes is not None:
        seeds = range(first, first + count) if count is not None else itertools.count(first)
        in_time = _until(seeds, None if minutes is None else minutes * 60)
        sys.exit(_many(in_time, faults=not no_faults, workers=workers))
    if path is not None:
        try:
            scenario = read_seed_file(path)
        except (OSError, ValueError) as error:
            raise click.UsageError(f"{path} is no seed file: {error}") from error
    elif seed is not None:
        scenario = scenario_of(seed, with_faults=not no_faults)
    else:
        raise click.UsageError("give a SEED, --seeds N or --file PATH")
    sys.exit(_one(scenario))


def read_seed_file(path: Path) -> Scenario:
    """The scenario of a file in tests/sim/seeds: lines with # are for people."""
    lines = path.read_text().splitlines()
    return from_json("\n".join(line for line in lines if not line.startswith("#")))


def write_seed_file(folder: Path, result: Result) -> Path:
    """Keep a failing scenario, with what went wrong as a comment."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.scenario.seed}.txt"
    path.write_text(f"# {result.violation}\n{to_json(result.scenario)}\n")
    return path


# Private


def _one(scenario: Scenario) -> int:
    click.echo(to_json(scenario))
    began_s = time.monotonic()
    result = simulate(scenario)
    took_s = time.monotonic() - began_s
    click.echo(result.timeline.text(), nl=False)
    click.echo(f"{result.sent} requests sent, {result.answered} answered")
    click.echo(f"timeline sha256 {result.timeline.digest()}")
    click.echo(_speed(result.virtual_s, took_s))
    click.echo(str(result.violation or "every invariant held"))
    return 1 if result.violation else 0


def _until(seeds: Iterable[int], seconds: float | None) -> Iterator[int]:
    """``seeds``, in the time that is given."""
    began_s = time.monotonic()
    for seed in seeds:
        if seconds is not None and time.monotonic() - began_s >= seconds:
            return
        yield seed


def _many(seeds: Iterable[int], *, faults: bool, workers: int) -> int:
    began_s = time.monotonic()
    virtual_s, played, failed = 0.0, 0, 0
    for result in _results(seeds, faults=faults, workers=workers):
        virtual_s += result.virtual_s
        played += 1
        if result.violation:
            failed += 1
            path = write_seed_file(SEEDS, result)
            click.echo(f"seed {result.scenario.seed}: {result.violation} → {path}")
    took_s = time.monotonic() - began_s
    click.echo(f"{played} seeds, {failed} failed, {took_s:.1f} s with {workers} processes")
    click.echo(_speed(virtual_s, took_s))
    return 1 if failed else 0


def _results(seeds: Iterable[int], *, faults: bool, workers: int) -> Iterator[Result]:
    if workers <= 1:
        yield from (_play((seed, faults)) for seed in seeds)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        # In portions: a pool takes all of an iterable at once, and this one may have no end.
        while portion := list(itertools.islice(seeds, workers * _PORTION)):
            yield from pool.imap_unordered(_play, [(seed, faults) for seed in portion])


def _play(work: tuple[int, bool]) -> Result:
    seed, faults = work
    return simulate(scenario_of(seed, with_faults=faults)).without_timeline()


def _speed(virtual_s: float, took_s: float) -> str:
    return f"{virtual_s:.0f} simulated seconds, {virtual_s / took_s:.0f} per real second"
