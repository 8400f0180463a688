"""What can go wrong, and how it is done to the world."""

from __future__ import annotations

import asyncio
from typing import assert_never

from nodrop.sim.scenario import Fault
from nodrop.sim.world import World


async def strike(world: World, fault: Fault) -> None:
    """Wait for the fault's time, do it, and end it."""
    await asyncio.sleep(fault.at_s)
    world.note(f"fault: {fault.what} {fault.amount:g} for {fault.for_s:g} s")
    match fault.what:
        case "kill" | "kill-at-effect":
            _kill(world, fault)
        case "clock-jump":
            world.clock.jump(fault.amount)
            world.judge.disturbed_s = world.judge.now_s
        case "watch-lost":
            await _lose_watches(world)
        case "proxy-crash":
            for requests in world.requests.values():
                requests.cut_all()
            world.proxy.memory.crash()
            world.judge.disturbed_s = world.judge.now_s
        case "proxy-lost" | "runtime-failing" | "runtime-late" | "store-refuses":
            await _for_a_while(world, fault)
        case _:
            assert_never(fault.what)


def _kill(world: World, fault: Fault) -> None:
    world.restart_after_s = fault.for_s
    if fault.what == "kill":
        world.kill("now")
    elif world.plane is not None:
        effects = abs(int(fault.amount))
        world.plane.gate.kill_at(effects, after=effects % 2 == 0)


async def _lose_watches(world: World) -> None:
    if world.plane is not None:
        for watch in list(world.plane.client.watches.values()):
            await watch.lose()


async def _for_a_while(world: World, fault: Fault) -> None:
    world.judge.disturbed += 1
    _set(world, fault, on=True)
    await asyncio.sleep(fault.for_s)
    _set(world, fault, on=False)
    world.note(f"fault: {fault.what} is over")
    world.judge.disturbed -= 1
    world.judge.disturbed_s = world.judge.now_s


def _set(world: World, fault: Fault, *, on: bool) -> None:
    amount = fault.amount if on else 0.0
    if fault.what == "proxy-lost":
        world.proxy.lost = on
    elif fault.what == "runtime-failing":
        world.runtime.trouble.failing = amount
    elif fault.what == "runtime-late":
        world.runtime.trouble.late_s = amount
    else:
        world.refusing = amount
