"""ND2: whether probes tell the truth in time. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.check.finding import Hit
from nodrop.check.rules.case import Case
from nodrop.check.rules.words import program, unwrapped
from nodrop.check.views import Container, Probe, dig, mapping, text, whole, words

#: How long a failing pod may keep its traffic before ND204 speaks; upstream's default is 30.
_WITHDRAW_S = 60
#: A container that is killed for a shorter pause than this is killed by a busy moment (ND207).
_PAUSE_S = 5
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def no_readiness_probe(case: Case) -> Iterator[Hit]:
    for workload, container in case.serving_containers():
        settle = whole(dig(workload.obj, "spec", "minReadySeconds"), 0)
        if (
            container.probe("readinessProbe")
            or settle > 0
            or workload.pod.spec.get("readinessGates")
        ):
            continue
        yield Hit(
            document=workload.document,
            path=container.path,
            message=f"container {container.name} has no readinessProbe: it counts as ready the "
            "moment its process runs, and requests come before it listens",
            mend="add a readinessProbe that answers only when requests can be served; where there "
            "is nothing to ask, minReadySeconds helps on nodrop (S9)",
        )


def min_ready_without_probe(case: Case) -> Iterator[Hit]:
    for workload, container in case.serving_containers():
        settle = whole(dig(workload.obj, "spec", "minReadySeconds"), 0)
        if container.probe("readinessProbe") or settle <= 0:
            continue
        yield Hit(
            document=workload.document,
            path=("spec", "minReadySeconds"),
            message=f"minReadySeconds is {settle} and container {container.name} has no "
            f"readinessProbe: nodrop sends no traffic for {settle} s, a cluster sends it at once "
            "and only waits with ending old pods",
            mend="add a readinessProbe; one with exec and a start-up delay has the same effect on "
            f"a cluster: exec: {{command: ['true']}} with initialDelaySeconds: {settle}",
        )


def liveness_equals_readiness(case: Case) -> Iterator[Hit]:
    for workload, container in case.serving_containers():
        ready, live = container.probe("readinessProbe"), container.probe("livenessProbe")
        if not ready or not live or not ready.asked or ready.asked != live.asked:
            continue
        if live.withdraw_s > ready.withdraw_s:
            continue
        yield Hit(
            document=workload.document,
            path=live.path,
            message=f"liveness asks what readiness asks and gives up after {live.withdraw_s} s "
            f"({live.period_s} s × {live.failures}), readiness after {ready.withdraw_s} s: a pod "
            "that is only busy is killed with all its requests instead of getting none for a while",
            mend=f"let liveness wait longer (failureThreshold: "
            f"{_more_than(ready.withdraw_s * 2, live.period_s)}), or ask for something that only "
            "a restart mends, or drop it",
        )


def slow_readiness(case: Case) -> Iterator[Hit]:
    for workload, container in case.serving_containers():
        probe = container.probe("readinessProbe")
        if probe and probe.withdraw_s > _WITHDRAW_S:
            yield Hit(
                document=workload.document,
                path=probe.path,
                message=f"a pod that stops answering keeps its traffic for up to "
                f"{probe.withdraw_s} s ({probe.period_s} s × {probe.failures})",
                mend="ask more often or give up sooner: periodSeconds: 5, failureThreshold: 3 "
                "takes 15 s",
            )


def probe_that_cannot_fail(case: Case) -> Iterator[Hit]:
    for workload, container in case.serving_containers():
        probe = container.probe("readinessProbe")
        # With a delay it stands for minReadySeconds, which is what ND202 advises.
        if probe and _always_passes(probe) and probe.initial_delay_s == 0:
            yield Hit(
                document=workload.document,
                path=probe.path,
                message=f"the readiness of container {container.name} is a command that always "
                "succeeds: it is ready at once and for ever, as without a probe",
                mend="ask the application itself: httpGet, grpc or tcpSocket",
            )


def liveness_kills_start(case: Case) -> Iterator[Hit]:
    for workload, container in case.all_containers():
        live, ready = container.probe("livenessProbe"), container.probe("readinessProbe")
        if not live or container.probe("startupProbe"):
            continue
        known = case.settings.start_up_s or 0
        start = max(known, ready.initial_delay_s if ready else 0)
        if start <= live.first_kill_s:
            continue
        because = (
            f"it needs {known:g} s to start"
            if known == start
            else f"readiness does not even ask before {start:g} s"
        )
        yield Hit(
            document=workload.document,
            path=live.path,
            message=f"liveness kills container {container.name} {live.first_kill_s} s after its "
            f"start (initial delay {live.initial_delay_s} s, then {live.failures} failures every "
            f"{live.period_s} s), but {because}: it is restarted for ever",
            mend=f"add a startupProbe with failureThreshold: "
            f"{_more_than(int(start) * 2, live.period_s)} and periodSeconds: {live.period_s}; "
            "liveness begins when it has passed",
        )


def hasty_liveness(case: Case) -> Iterator[Hit]:
    for workload, container in case.all_containers():
        live = container.probe("livenessProbe")
        if not live:
            continue
        pause = (live.failures - 1) * live.period_s + live.timeout_s
        if pause < _PAUSE_S:
            yield Hit(
                document=workload.document,
                path=live.path,
                message=f"a pause of {pause} s (time-out {live.timeout_s} s, {live.failures} × "
                f"every {live.period_s} s) is enough to kill container {container.name} with all "
                "its requests; under load all pods may go together",
                mend="set failureThreshold: 3 and periodSeconds: 10, or more",
            )


def timeout_above_period(case: Case) -> Iterator[Hit]:
    for workload, container in case.all_containers():
        for name in _PROBES:
            probe = container.probe(name)
            if probe and probe.timeout_s > probe.period_s:
                yield Hit(
                    document=workload.document,
                    path=(*probe.path, "timeoutSeconds"),
                    message=f"{name} may take {probe.timeout_s} s and is due every "
                    f"{probe.period_s} s: probes don't overlap, so a slow container is only seen "
                    f"after up to {probe.timeout_s * probe.failures} s instead of "
                    f"{probe.withdraw_s}",
                    mend=f"set timeoutSeconds to {probe.period_s} or less, or periodSeconds to "
                    f"{probe.timeout_s} or more",
                )


def probe_port_missing(case: Case) -> Iterator[Hit]:
    for workload in case.bundle.workloads:
        for container in workload.pod.everyone:
            named = [port.name for port in container.ports if port.name]
            for path, port in _named_ports(container):
                if port not in named:
                    known = ", ".join(named) or "none"
                    yield Hit(
                        document=workload.document,
                        path=path,
                        message=f'port "{port}" is no port of container {container.name} (named '
                        f"ports: {known}), so it always fails",
                        mend="name a port of this container, or give the number",
                    )


RULES = {
    "ND201": no_readiness_probe,
    "ND202": min_ready_without_probe,
    "ND203": liveness_equals_readiness,
    "ND204": slow_readiness,
    "ND205": probe_that_cannot_fail,
    "ND206": liveness_kills_start,
    "ND207": hasty_liveness,
    "ND208": timeout_above_period,
    "ND209": probe_port_missing,
}

# Private


def _more_than(seconds: int, period_s: int) -> int:
    """The failureThreshold that reaches ``seconds``."""
    return max(3, -(-seconds // period_s))


def _always_passes(probe: Probe) -> bool:
    command = unwrapped(words(dig(probe.obj, "exec", "command")))
    if not command:
        return False
    return program(command[0]) in {"true", ":", "echo"} or command == ("exit", "0")


def _named_ports(container: Container) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, port name) of every action that goes to a port by name."""
    actions: list[tuple[tuple[str, ...], object]] = [
        ((name,), container.obj.get(name)) for name in _PROBES
    ]
    lifecycle = mapping(container.obj.get("lifecycle"))
    actions += [(("lifecycle", name), lifecycle.get(name)) for name in ("postStart", "preStop")]
    for steps, action in actions:
        for how in ("httpGet", "tcpSocket"):
            port = text(dig(action, how, "port"))
            if port and not port.isdigit():
                yield (*container.path, *steps, how, "port"), port
