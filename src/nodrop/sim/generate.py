"""From a seed to a scenario: deployments, what users do to them, and what goes wrong; pure.

``random.Random`` seeded with a number gives the same draws in every process and on every Python.
"""

from __future__ import annotations

import random
from dataclasses import replace

from nodrop.sim.behaviour import Behaviour
from nodrop.sim.scenario import (
    Fault,
    Latencies,
    Operation,
    OperationKind,
    PreStop,
    Scenario,
    Strategy,
    Version,
)

_COUNTS = (0, 1, 1, 2, 3)
_PERCENTS = ("0%", "10%", "25%", "25%", "34%", "50%", "100%")
_HOOKS: tuple[PreStop, ...] = ("none", "none", "none", "sleep", "exec", "http")
_GRACES_S = (1, 3, 5, 10, 30, 30)


def scenario_of(seed: int, *, with_faults: bool = True) -> Scenario:
    """The scenario of a seed. The last version that a user rolls to is always a sound one."""
    rng = random.Random(seed)
    versions = (_version(rng, well=True), *(_any_version(rng) for _ in range(rng.randint(0, 2))))
    versions = (*versions, _version(rng, well=True))
    strategies = tuple(_strategy(rng) for _ in range(rng.choice((1, 1, 2))))
    operations = _operations(rng, len(versions), len(strategies))
    scenario = Scenario(
        seed=seed,
        replicas=rng.choice((1, 1, 2, 3, 3, 4, 5, 6, 8)),
        strategies=strategies,
        versions=versions,
        operations=operations,
        faults=_faults(rng) if with_faults else (),
        latencies=_latencies(rng),
        request_every_s=rng.choice((0.2, 0.5, 1.0)),
        request_s=rng.choice((0.1, 0.5, 2.0, 8.0)),
    )
    scenario = _enriched(scenario, random.Random(f"{seed} more"))
    return replace(scenario, beside=_beside(seed, random.Random(f"{seed} beside")))


# Private: deployments


def _beside(seed: int, rng: random.Random) -> Scenario | None:
    """For every fourth seed a second Deployment, which is rolled in the same minute."""
    if rng.random() >= 1 / 4:
        return None
    other = scenario_of(rng.randrange(1 << 32), with_faults=False)
    return replace(other, seed=seed, beside=None)


def _enriched(scenario: Scenario, rng: random.Random) -> Scenario:
    """With init containers, a sidecar, a budget and evictions; a third of all has none of it.

    Drawn from chances of its own, so that the rest of a seed's scenario stays what it was.
    """
    if rng.random() < 1 / 3:
        return scenario
    sidecar = rng.random() < 0.4
    versions = tuple(
        replace(
            version,
            init_s=rng.choice((0.0, 0.0, 0.3, 2.0)),
            sidecar=sidecar if rng.random() < 0.8 else not sidecar,
        )
        for version in scenario.versions
    )
    if rng.random() < 0.5:
        return replace(scenario, versions=versions)
    last_s = scenario.operations[-1].at_s
    evictions = [
        Operation(at_s=round(rng.uniform(3, last_s + 10), 3), what="evict", number=rng.randrange(8))
        for _ in range(rng.randint(1, 4))
    ]
    return replace(
        scenario,
        versions=versions,
        operations=tuple(sorted((*scenario.operations, *evictions), key=lambda one: one.at_s)),
        min_available=rng.choice((0, 1, 2, "50%", "80%")),
    )


def _strategy(rng: random.Random) -> Strategy:
    surge, unavailable = _fencepost(rng), _fencepost(rng)
    if surge in (0, "0%") and unavailable in (0, "0%"):
        surge = 1
    return Strategy(
        surge=surge,
        unavailable=unavailable,
        min_ready_s=rng.choice((0, 0, 0, 1, 3, 8)),
        recreate=rng.random() < 0.08,
        deadline_s=rng.choice((15, 60, 600)),
    )


def _fencepost(rng: random.Random) -> int | str:
    return rng.choice(_COUNTS) if rng.random() < 0.5 else rng.choice(_PERCENTS)


def _any_version(rng: random.Random) -> Version:
    return _version(rng, well=rng.random() < 0.6)


def _version(rng: random.Random, *, well: bool) -> Version:
    startup_period_s = rng.choice((0, 0, 0, 1, 2))
    pre_stop, grace_s = rng.choice(_HOOKS), rng.choice(_GRACES_S)
    if pre_stop == "sleep" and grace_s < 3:  # a sleep must be shorter than the grace period
        pre_stop = "exec"
    return Version(
        behaviour=_well(rng) if well else _unwell(rng),
        readiness_period_s=rng.choice((0, 1, 1, 2, 5)),
        # Without a startup probe a slow start would look dead to a liveness probe.
        liveness_period_s=rng.choice((0, 2, 5)) if startup_period_s else 0,
        startup_period_s=startup_period_s,
        grace_s=grace_s,
        pre_stop=pre_stop,
        pre_stop_s=rng.randint(1, min(6, grace_s - 1)) if pre_stop == "sleep" else 0,
        post_start=rng.random() < 0.15,
    )


def _well(rng: random.Random) -> Behaviour:
    return Behaviour(
        start_s=rng.choice((0.0, 0.2, 1.0, 3.0)),
        jitter=rng.choice((0.0, 0.5, 2.0)),
        on_term=rng.choice(("finish", "finish", "die", "ignore")),
        term_s=rng.choice((0.0, 0.5, 4.0)),
        hook_s=rng.choice((0.1, 1.0, 7.0)),
        exit_code=rng.choice((0, 0, 143)),
    )


def _unwell(rng: random.Random) -> Behaviour:
    kind = rng.randrange(5)
    return Behaviour(
        start_s=rng.choice((0.2, 1.0)),
        on_term=rng.choice(("finish", "die", "ignore")),
        never_ready=kind == 0,
        crash_after_s=rng.choice((0.0, 0.5, 6.0, 20.0)) if kind == 1 else None,
        deaf_after_s=rng.choice((5.0, 15.0)) if kind == 2 else None,
        unready_after_s=rng.choice((1.0, 10.0)) if kind == 3 else None,
        unready_for_s=rng.choice((3.0, 12.0)),
        refusal="exec: app: not found" if kind == 4 else "",
    )


# Private: what happens


def _operations(rng: random.Random, versions: int, strategies: int) -> tuple[Operation, ...]:
    """Rolls and whatever else comes into a user's mind; then the last version, not paused."""
    operations = []
    at_s = rng.uniform(5, 20)
    paused = False
    for _ in range(rng.randint(0, 4)):
        what = _what(rng, paused=paused, strategies=strategies)
        number = {
            "roll": rng.randrange(versions),
            "scale": rng.choice((0, 1, 2, 3, 5, 7)),
            "delete-pod": rng.randrange(8),
            "strategy": strategies - 1,
        }.get(what, 0)
        paused = what == "pause" or (paused and what != "resume")
        operations.append(Operation(at_s=round(at_s, 3), what=what, number=number))
        at_s += rng.choice((0.0, 0.01, 0.5, 1.5, 4.0, 12.0)) * (1 + rng.random())
    last: list[OperationKind] = ["resume", "roll"] if paused else ["roll"]
    return (
        *operations,
        *(Operation(at_s=round(at_s, 3), what=what, number=versions - 1) for what in last),
    )


def _what(rng: random.Random, *, paused: bool, strategies: int) -> OperationKind:
    choices: list[OperationKind] = ["roll", "roll", "roll", "scale", "scale", "delete-pod"]
    choices += ["resume", "resume"] if paused else ["pause"]
    if strategies > 1:
        choices.append("strategy")
    return rng.choice(choices)


def _latencies(rng: random.Random) -> Latencies:
    return Latencies(
        api_s=rng.choice((0.0, 0.0, 0.002, 0.02)),
        watch_s=rng.choice((0.0, 0.0, 0.002, 0.05)),
        runtime_s=rng.choice((0.002, 0.02, 0.2)),
        probe_s=rng.choice((0.001, 0.02)),
        proxy_s=rng.choice((0.002, 0.02, 0.3)),
    )


def _faults(rng: random.Random) -> tuple[Fault, ...]:
    faults = [_fault(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _fault(rng: random.Random) -> Fault:
    at_s = round(rng.uniform(0, 50), 3)
    match rng.randrange(10):
        case 0 | 1:
            return Fault(at_s=at_s, what="kill", for_s=_away_s(rng))
        case 2 | 3:
            effects = rng.randint(1, 60)
            return Fault(at_s=at_s, what="kill-at-effect", for_s=_away_s(rng), amount=effects)
        case 4:
            return Fault(at_s=at_s, what="proxy-lost", for_s=_away_s(rng))
        case 5:
            share = rng.choice((0.2, 1.0))
            return Fault(at_s=at_s, what="runtime-failing", for_s=_away_s(rng), amount=share)
        case 6:
            late_s = rng.choice((0.5, 3.0))
            return Fault(at_s=at_s, what="runtime-late", for_s=_away_s(rng), amount=late_s)
        case 7:
            jump_s = rng.choice((-60.0, -5.0, 2.0, 45.0))
            return Fault(at_s=at_s, what="clock-jump", amount=jump_s)
        case 8:
            return Fault(at_s=at_s, what=rng.choice(("watch-lost", "proxy-crash")))
        case _:
            share = rng.choice((0.3, 1.0))
            return Fault(at_s=at_s, what="store-refuses", for_s=_away_s(rng), amount=share)


def _away_s(rng: random.Random) -> float:
    return rng.choice((0.1, 0.5, 2.0, 8.0, 25.0))
