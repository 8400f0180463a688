"""From starting ``nodrop serve`` to the first answered request, beyond the app's own start."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from statistics import median

from bench.engine import (
    Engine,
    end,
    engine_in,
    free_port,
    say,
    state_folder,
    timed,
    until_answered,
)
from bench.figures import Figure, at_most
from bench.manifests import HELLO, hello
from nodrop.cli.apply import apply_all
from nodrop.cli.background import until_gone
from nodrop.statedir import StateDir

_GOAL_S = 2.0
_KILLED_WITHIN_S = 10.0


async def measure(*, quick: bool) -> list[Figure]:
    """Start with nothing, with objects and no process, and with all pods running."""
    fresh, objects, adopting, app = [], [], [], []
    rounds = 2 if quick else 5
    for number in range(rounds):
        async with state_folder() as state:
            app.append(await _app_alone_s())
            fresh.append(await _fresh_s(state) - app[-1])
            await end(state)
            objects.append(await _with_objects_s(state) - app[-1])
            adopting.append(await _adopting_s(state))
        say(f"  start {number + 1} of {rounds}: {fresh[-1]:.2f} s fresh")
    note = f"median of {rounds}; the app's own start, {median(app):.2f} s, is taken off"
    return [
        Figure(
            "cold start, fresh state → first answer", median(fresh), "s", at_most(_GOAL_S), note
        ),
        Figure("cold start, objects stored → first answer", median(objects), "s", at_most(_GOAL_S)),
        Figure(
            "restart over running pods → API answers",
            median(adopting),
            "s",
            at_most(_GOAL_S),
            "after kill -9; traffic is not interrupted",
        ),
    ]


async def _fresh_s(state: StateDir) -> float:
    """Nothing there yet: keys, certificates and database are made, and one pod of hello."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with engine_in(state) as engine:
        await apply_all(engine.client, hello(1))
        return await until_answered(engine.url) - start


async def _with_objects_s(state: StateDir) -> float:
    """As after a reboot: the state folder is there, no process runs."""
    start = asyncio.get_running_loop().time()
    async with engine_in(state) as engine:
        return await until_answered(engine.url) - start


async def _adopting_s(state: StateDir) -> float:
    """The control plane is killed and started again over its pods."""
    async with engine_in(state) as engine:
        pid = engine.info["pids"]["engine"]
        os.kill(pid, signal.SIGKILL)
        await until_gone(pid, timeout_s=_KILLED_WITHIN_S)
    _, took_s = await timed(_api_answers(state))
    return took_s


async def _api_answers(state: StateDir) -> None:
    async with engine_in(state) as engine:
        await _asked(engine)


async def _asked(engine: Engine) -> None:
    await engine.client.version()


async def _app_alone_s() -> float:
    """How long the app takes by itself, from exec to its first answer."""
    loop = asyncio.get_running_loop()
    port = free_port()
    start = loop.time()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HELLO),
        env={"PATH": os.defpath, "PORT": str(port)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        return await until_answered(f"http://127.0.0.1:{port}") - start
    finally:
        process.kill()
        await process.wait()
