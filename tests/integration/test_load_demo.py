"""The demo as a person runs it, and real applications rolled under load (S1–S5, S12–S15)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nodrop.cli.demo_engine import own_engine
from nodrop.cli.demo_examples import Script, Step
from nodrop.cli.demo_run import Found, Pace, Run
from nodrop.cli.session import connect
from nodrop.rehearse.verdict import Stage, judge_run

EXAMPLES = Path(__file__).parents[2] / "examples"


async def demo(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nodrop", "demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def has_ended(pid: int) -> bool:
    """A process that only waits to be reaped by whoever adopted it has ended, too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.xdist_group("load")
async def test_the_demo_loses_nothing(tmp_path: Path) -> None:
    """Apps that end gracefully, at once, or only by SIGKILL: nothing is lost (S12, S13, S15)."""
    file = tmp_path / "figures.json"
    process = await demo("--fast", "--rate", "200", "--json", str(file))
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    figures = json.loads(file.read_text())
    assert (figures["verdict"], figures["lost"]) == ("pass", 0)
    assert figures["requests"] > 1_000
    assert len(figures["rollouts"]) == 5
    assert [each["terminations_under_load"] for each in figures["rollouts"]] == [4] * 5
    assert figures["ready_to_traffic_ms"]["pods"] == 20


@pytest.mark.xdist_group("load")
async def test_a_demo_that_is_ended_leaves_nothing_behind() -> None:
    process = await demo("--rate", "50")
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode()
    assert first.startswith("engine up")
    state = Path(first.split("(state ")[1].rstrip(")\n"))
    engine = json.loads((state / "engine.json").read_text())
    process.terminate()
    said, _ = await process.communicate()
    assert process.returncode == 143, said.decode()
    assert not state.exists()
    for pid in (engine["pids"]["engine"], engine["pids"]["keeper"], *engine["pids"]["proxy"]):
        assert has_ended(pid)


def prepared(name: str, folder: Path) -> Path:
    """The example with its two released versions installed."""
    script = EXAMPLES / name / "prepare"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


async def roll(script: Script, *, rate: float) -> Found:
    async with own_engine(keep=False) as (state, engine), connect(state) as client:
        pace = Pace(rate, warm_up_s=1.0, stage_s=4.0)
        url = engine["http"]["urls"][0]
        run = Run(client, url=url, script=script, pace=pace, show=lambda _picture: None)
        return await run.run()


ROLL = (Step("old → new", "new.yaml"), Step("new → old (undo)", None))


@pytest.mark.xdist_group("load")
async def test_gunicorn_is_rolled_between_two_released_versions(tmp_path: Path) -> None:
    script = Script(prepared("gunicorn", tmp_path / "app"), "gunicorn", "old.yaml", ROLL)
    found = await roll(script, rate=100)
    assert judge_run(found.stages, found.lives).result == "pass", found.summary.total.causes()
    assert set(found.summary.by_version) == {"23.0.0", "27.0.1"}


@pytest.mark.xdist_group("load")
async def test_datasette_is_rolled_between_two_released_versions(tmp_path: Path) -> None:
    """Its answers name no pod, so that pods ended under load is read from watch and records."""
    load = "--post-share 0 --slow-share 0 --get /-/versions.json --get /world/cities.json"
    folder = prepared("datasette", tmp_path / "app")
    script = Script(folder, "datasette", "old.yaml", ROLL, tuple(load.split()))
    found = await roll(script, rate=30)
    assert found.summary.total.lost == 0, found.summary.total.causes()
    rollouts: list[Stage] = [stage for stage in found.stages.stages if stage.is_rollout]
    for stage in rollouts:
        ended = found.lives.ended(stage.start, found.stages.end_of(stage))
        times = [(life.deleting or 0.0, life.gone or 0.0) for life in ended]
        assert len(times) == 2
        assert all(found.stages.ended_between(times))
    assert {life.version for life in found.lives.pods.values()} == {"0.64.8", "0.65.5"}
