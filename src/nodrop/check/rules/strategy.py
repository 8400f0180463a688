"""ND1: how pods are exchanged, and what is left while they are. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nodrop.check.bundle import Workload
from nodrop.check.finding import Hit, SetValue
from nodrop.check.rules.case import Case, counted
from nodrop.check.views import dig, mapping, mappings, text, whole
from nodrop.model.intstr import resolve

_ROLLING = ("spec", "strategy", "rollingUpdate")
_SURGE, _UNAVAILABLE = (*_ROLLING, "maxSurge"), (*_ROLLING, "maxUnavailable")
_SURGE_ONE = (SetValue(_SURGE, 1), SetValue(_UNAVAILABLE, 0))
_DEADLINE_S = 600
_DEADLINE = ("spec", "progressDeadlineSeconds")


def both_zero(case: Case) -> Iterator[Hit]:
    for one in case.bundle.deployments:
        if one.rolls and _is_zero(one.raw_surge) and _is_zero(one.raw_unavailable):
            yield Hit(
                document=one.document,
                path=_UNAVAILABLE,
                message="maxSurge and maxUnavailable are both 0: no pod may be added and none may "
                "be missing, so none can be exchanged; the API refuses it",
                mend="set maxSurge: 1 and keep maxUnavailable: 0",
                fix=(SetValue(_SURGE, 1),),
            )


def both_round_to_zero(case: Case) -> Iterator[Hit]:
    for one, size in _rolling(case):
        unavailable = one.raw_unavailable
        if not _is_zero(one.raw_surge) or not isinstance(unavailable, str) or _is_zero(unavailable):
            continue
        if resolve(unavailable, size, "down") > 0:
            continue
        what = (
            "the only pod ends before the next one is there: an outage as long as a start"
            if size == 1
            else f"each step serves with {size - 1} of {size} pods"
        )
        yield Hit(
            document=one.document,
            path=_UNAVAILABLE,
            message=f"maxSurge is 0 and {unavailable} of {counted(size, 'replica')} rounds down to "
            f"0; as nothing could move, Kubernetes takes 1: {what}",
            mend="set maxSurge: 1 and maxUnavailable: 0",
            level="error" if size == 1 else None,
            fix=_SURGE_ONE,
        )


def nothing_left(case: Case) -> Iterator[Hit]:
    for one, size in _fixed(case):
        posts = one.fenceposts(size)
        if posts is None or posts.unavailable < size or (size == 1 and posts.surge == 0):
            continue
        yield Hit(
            document=one.document,
            path=_UNAVAILABLE,
            message=f"maxUnavailable {one.raw_unavailable} lets {posts.unavailable} of "
            f"{counted(size, 'replica')} be missing: a rollout may end every pod that serves "
            "before a new one is ready",
            mend="set maxUnavailable: 0 and maxSurge: 1 or more",
            fix=(SetValue(_UNAVAILABLE, 0), *(() if posts.surge else (SetValue(_SURGE, 1),))),
        )


def lone_replica_without_surge(case: Case) -> Iterator[Hit]:
    for one, size in _fixed(case):
        posts = one.fenceposts(size)
        raw = one.raw_unavailable
        rounded = isinstance(raw, str) and resolve(raw, 1, "down") == 0 if posts else True
        if size == 1 and posts and posts.surge == 0 and not rounded and not _is_zero(raw):
            yield Hit(
                document=one.document,
                path=_SURGE,
                message="one replica with maxSurge 0: the only pod ends before the next one is "
                "there, so every rollout is an outage as long as a start",
                mend="set maxSurge: 1 and maxUnavailable: 0; two pods then run side by side",
                fix=_SURGE_ONE,
            )


def recreate(case: Case) -> Iterator[Hit]:
    for one in _serving_deployments(case):
        if one.strategy != "Recreate":
            continue
        size, claims = case.bundle.size_of(one), _claims(one)
        because = (
            f" (its volume claim {claims[0][1]} may be why: then the outage is the price)"
            if claims
            else ""
        )
        yield Hit(
            document=one.document,
            path=("spec", "strategy", "type"),
            message=f"Recreate ends all {counted(size, 'pod')} (up to {one.pod.grace_s} s of grace "
            f"period) and only then starts new ones: nothing answers until they are ready{because}",
            mend="use RollingUpdate with maxSurge: 1 and maxUnavailable: 0, if two versions may "
            "run side by side",
            level="info" if claims else None,
        )


def capacity_at_peak(case: Case) -> Iterator[Hit]:
    peak = case.settings.peak_utilisation
    for one, size in _rolling(case) if peak is not None else ():
        posts = one.fenceposts(size)
        if posts is None or peak is None or not 0 < posts.unavailable < size:
            continue
        left = size - posts.unavailable
        load = peak * size / left
        if load > 1:
            needed = math.ceil(peak * size)
            yield Hit(
                document=one.document,
                path=_UNAVAILABLE,
                message=f"a rollout leaves {left} of {size} pods; at a peak of {peak:.0%} each "
                f"would have to carry {load:.0%} of what it can",
                mend="set maxUnavailable: 0 with maxSurge: 1"
                + (f" (at peak {needed} of {size} pods are needed)" if needed <= size else ""),
            )


def deadline_too_short(case: Case) -> Iterator[Hit]:
    for one in case.bundle.deployments:
        spec = mapping(one.obj.get("spec"))
        deadline = whole(spec.get("progressDeadlineSeconds"), _DEADLINE_S)
        settle = whole(spec.get("minReadySeconds"), 0)
        starts = [_slowest_start_s(case, one)]
        if deadline > settle + starts[0]:
            continue
        refused = "; the API refuses it" if deadline <= settle else ""
        yield Hit(
            document=one.document,
            path=_DEADLINE if "progressDeadlineSeconds" in spec else ("spec", "minReadySeconds"),
            message=f"a new pod needs up to {starts[0]:g} s to become ready and minReadySeconds "
            f"{settle} more, but progressDeadlineSeconds is {deadline}: every rollout is reported "
            f"as failed{refused}",
            mend=f"set progressDeadlineSeconds: {math.ceil(settle + starts[0]) + 60}",
        )


def single_writer_volume_with_surge(case: Case) -> Iterator[Hit]:
    modes = {
        (
            document.obj["metadata"].get("namespace") or "default",
            text(document.obj["metadata"].get("name")),
        ): _modes(document.obj)
        for document in case.bundle.of_kind("PersistentVolumeClaim")
    }
    for one, size in _rolling(case):
        posts = one.fenceposts(size)
        for index, claim in _claims(one):
            known = modes.get((one.namespace, claim), ())
            if not posts or not posts.surge or not known or set(known) - _SINGLE:
                continue
            yield Hit(
                document=one.document,
                path=(*one.pod.path, "volumes", index),
                message=f"volume claim {claim} is {known[0]}: a new pod on another node waits for "
                "the volume until the old one has ended, which waits for the new one",
                mend="use a ReadWriteMany volume, a StatefulSet, or keep both pods on one node "
                "(podAffinity)",
            )


def host_port_with_surge(case: Case) -> Iterator[Hit]:
    for one, size in _rolling(case):
        posts = one.fenceposts(size)
        if not posts or not posts.surge:
            continue
        for container in one.pod.containers:
            for index, port in mappings(container.obj.get("ports")):
                if number := whole(port.get("hostPort"), 0):
                    yield Hit(
                        document=one.document,
                        path=(*container.path, "ports", index, "hostPort"),
                        message=f"hostPort {number} and maxSurge {one.raw_surge}: the new pod "
                        "needs a node whose port is free, and without one the rollout stands still",
                        mend="drop hostPort and use a Service, or use a DaemonSet",
                    )


RULES = {
    "ND101": both_zero,
    "ND102": both_round_to_zero,
    "ND103": nothing_left,
    "ND104": lone_replica_without_surge,
    "ND105": recreate,
    "ND106": capacity_at_peak,
    "ND107": deadline_too_short,
    "ND108": single_writer_volume_with_surge,
    "ND109": host_port_with_surge,
}

# Private

_SINGLE = {"ReadWriteOnce", "ReadWriteOncePod"}


def _is_zero(value: object) -> bool:
    return not isinstance(value, bool) and value in (0, "0%")


def _serving_deployments(case: Case) -> Iterator[Workload]:
    for one in case.bundle.serving:
        if one.is_deployment:
            yield one


def _rolling(case: Case) -> Iterator[tuple[Workload, int]]:
    """Rolling Deployments that serve, with a size above 0 and limits that can be read."""
    for one in _serving_deployments(case):
        size = case.bundle.size_of(one)
        if one.rolls and size > 0 and one.fenceposts(size):
            yield one, size


def _fixed(case: Case) -> Iterator[tuple[Workload, int]]:
    """Those whose size the manifest gives; ND603 judges what an autoscaler may shrink to."""
    for one, size in _rolling(case):
        if not case.bundle.floats(one):
            yield one, size


def _claims(one: Workload) -> list[tuple[int, str]]:
    """(number of the volume, name of its claim)."""
    return [
        (index, name)
        for index, volume in mappings(one.pod.spec.get("volumes"))
        if (name := text(dig(volume, "persistentVolumeClaim", "claimName")))
    ]


def _modes(claim: dict[str, object]) -> tuple[str, ...]:
    found = dig(claim, "spec", "accessModes")
    return tuple(text(mode) for mode in found) if isinstance(found, list) else ()


def _slowest_start_s(case: Case, one: Workload) -> float:
    """How long the manifest (or the user) says that a start takes: at least this."""
    delays = [
        probe.initial_delay_s
        for container in one.pod.containers
        if (probe := container.probe("readinessProbe"))
    ]
    return max([case.settings.start_up_s or 0, *delays])
