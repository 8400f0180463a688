"""ND3: hooks, grace period and what has to fit into it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from nodrop.check.bundle import Workload, namespace_of
from nodrop.check.finding import Hit, SetValue
from nodrop.check.rules.case import Case
from nodrop.check.rules.words import program, unwrapped
from nodrop.check.source import Document
from nodrop.check.views import Container, dig, hook_length_s, mapping, mappings, text, words

_FLOOR_S = 2  # what upstream leaves between SIGTERM and SIGKILL when the hook used it all up
_SHELLLESS = ("distroless", "chainguard", "scratch", "cgr.dev/", "-static")
_LONG = re.compile(r"(?<![a-z])(wss?|websockets?|socketio|sse|grpc|stream|rtmp|mqtt)(?![a-z])")
_LONG_READ_S = 300
_READ_TIMEOUT = "nginx.ingress.kubernetes.io/proxy-read-timeout"


def no_pre_stop(case: Case) -> Iterator[Hit]:
    wait = math.ceil(case.settings.propagation_s)
    for workload, container in case.serving_containers():
        if container.pre_stop or workload.pod.grace_s <= 0 or wait <= 0:
            continue
        fits = wait + case.settings.longest_request_s <= workload.pod.grace_s
        yield Hit(
            document=workload.document,
            path=container.path,
            message=f"container {container.name} has no preStop hook: on a cluster SIGTERM comes "
            f"at once, while proxies go on sending for up to {wait} s; what has stopped listening "
            "by then refuses those requests",
            mend=f"add lifecycle.preStop.sleep.seconds: {wait} (Kubernetes 1.30; before: exec "
            f"sleep {wait}), or ignore this if the application itself waits after SIGTERM",
            fix=_sleep(container, wait) if fits else (),
        )


def pre_stop_too_short(case: Case) -> Iterator[Hit]:
    wait = math.ceil(case.settings.propagation_s)
    for workload, container in case.serving_containers():
        seconds = hook_length_s(container.pre_stop)
        if seconds is None or seconds >= case.settings.propagation_s:
            continue
        sleeps = isinstance(container.pre_stop.get("sleep"), dict)
        fits = wait + case.settings.longest_request_s <= workload.pod.grace_s
        yield Hit(
            document=workload.document,
            path=container.pre_stop_path,
            message=f"the preStop hook of container {container.name} takes {seconds:g} s, but a "
            f"cluster may go on sending for {wait} s: requests of the last "
            f"{wait - seconds:g} s can meet a closed port",
            mend=f"let it take {wait} s (or say what your proxies need: --propagation-s)",
            fix=(SetValue((*container.pre_stop_path, "sleep", "seconds"), wait),)
            if sleeps and fits
            else (),
        )


def hook_exceeds_grace(case: Case) -> Iterator[Hit]:
    for workload, container in case.all_containers():
        seconds, grace = hook_length_s(container.pre_stop), workload.pod.grace_s
        if seconds is None or grace <= 0 or seconds < grace:
            continue
        yield Hit(
            document=workload.document,
            path=container.pre_stop_path,
            message=f"the preStop hook takes {seconds:g} s, but terminationGracePeriodSeconds is "
            f"{grace}: a hook does not extend it, so SIGTERM comes at {grace} s and SIGKILL at "
            f"{grace + _FLOOR_S} s",
            mend="set terminationGracePeriodSeconds to at least "
            f"{math.ceil(seconds + case.settings.longest_request_s)}",
        )


def grace_too_short(case: Case) -> Iterator[Hit]:
    longest = case.settings.longest_request_s
    for workload in case.bundle.serving:
        grace = workload.pod.grace_s
        hooks = [hook_length_s(one.pre_stop) or 0.0 for one in workload.pod.containers]
        hook = max(hooks, default=0.0)
        needed = hook + longest
        if grace <= 0 or hook >= grace:
            continue
        if needed <= grace:
            yield from _drain_too_short(case, workload, hook)
            continue
        yield Hit(
            document=workload.document,
            path=workload.pod.grace_path,
            message=(f"preStop hook {hook:g} s + " if hook else "")
            + f"longest request {longest:g} s = {needed:g} s, but the grace period is {grace} s: "
            f"the last request is cut after {grace - hook:g} s",
            mend=f"set terminationGracePeriodSeconds: {math.ceil(needed)} or more (or say "
            "how long requests take: --longest-request-s)",
        )


def sleep_without_binary(case: Case) -> Iterator[Hit]:
    for workload, container in case.all_containers():
        command = words(dig(container.pre_stop, "exec", "command"))
        image = container.image.lower()
        if not command or not any(mark in image for mark in _SHELLLESS):
            continue
        first = unwrapped(command)
        seconds = hook_length_s(container.pre_stop)
        if seconds is None and program(first[0] if first else "") != "sleep":
            continue
        fixable = seconds is not None and len(first) == 2 and float(seconds).is_integer()
        yield Hit(
            document=workload.document,
            path=container.pre_stop_path,
            message=f"the hook runs {program(command[0])}, and image {container.image} has neither "
            "shell nor sleep: it fails at once (FailedPreStopHook) and SIGTERM comes without delay",
            mend="use the sleep action, which needs nothing in the image: preStop.sleep.seconds"
            + (f": {seconds:g}" if seconds else ""),
            fix=(SetValue(container.pre_stop_path, {"sleep": {"seconds": int(seconds or 0)}}),)
            if fixable
            else (),
        )


def grace_zero(case: Case) -> Iterator[Hit]:
    for workload in case.bundle.serving:
        if workload.pod.grace_s == 0:
            yield Hit(
                document=workload.document,
                path=workload.pod.grace_path,
                message="terminationGracePeriodSeconds is 0: no preStop hook runs and SIGKILL "
                "comes at once, with every request in flight",
                mend="leave it out (30 s) or set what requests need",
            )


def tcp_hook(case: Case) -> Iterator[Hit]:
    for workload, container in case.all_containers():
        for hook in ("postStart", "preStop"):
            if dig(container.obj, "lifecycle", hook, "tcpSocket") is not None:
                yield Hit(
                    document=workload.document,
                    path=(*container.path, "lifecycle", hook, "tcpSocket"),
                    message=f"{hook} with tcpSocket is accepted by the API and always fails when "
                    "it is run",
                    mend="use exec, httpGet or sleep",
                )


def long_connections_without_grace(case: Case) -> Iterator[Hit]:
    for workload in case.bundle.serving:
        if "terminationGracePeriodSeconds" in workload.pod.spec:
            continue
        for evidence in _long_lived(case, workload):
            yield Hit(
                document=workload.document,
                path=workload.pod.path,
                message=f"{evidence} says that connections stay open, and "
                f"terminationGracePeriodSeconds is not set: after {workload.pod.grace_s} s they "
                "are cut",
                mend="set terminationGracePeriodSeconds to what connections need to end, and let "
                "the application ask its clients to come again on SIGTERM",
                level="info" if "grpc" in evidence.lower() else None,  # often short calls
            )
            break


RULES = {
    "ND301": no_pre_stop,
    "ND302": pre_stop_too_short,
    "ND303": hook_exceeds_grace,
    "ND304": grace_too_short,
    "ND305": sleep_without_binary,
    "ND306": grace_zero,
    "ND307": tcp_hook,
    "ND308": long_connections_without_grace,
}

# Private


def _drain_too_short(case: Case, workload: Workload, hook: float) -> Iterator[Hit]:
    """nodrop gives requests in flight two thirds of what a sleep hook leaves (drain_share_s)."""
    grace, longest = workload.pod.grace_s, case.settings.longest_request_s
    share = (grace - hook) * 2 / 3
    if "nodrop" not in case.settings.targets or longest <= share:
        return
    yield Hit(
        document=workload.document,
        path=workload.pod.grace_path,
        message=f"the longest request takes {longest:g} s, but of a grace period of {grace} s "
        f"with a hook of {hook:g} s nodrop gives requests in flight {share:.3g} s (two thirds of "
        "what the hook leaves) before the hook begins",
        mend=f"set terminationGracePeriodSeconds: {math.ceil(hook + longest * 1.5)} or more",
    )


def _sleep(container: Container, seconds: int) -> tuple[SetValue, ...]:
    return (SetValue((*container.pre_stop_path, "sleep", "seconds"), seconds),)


def _long_lived(case: Case, workload: Workload) -> Iterator[str]:
    """What in the manifests says that connections stay open."""
    for container in case.bundle.serving_containers(workload):
        for port in container.ports:
            if _LONG.search(port.name.lower()):
                yield f'port "{port.name}"'
    for service in case.bundle.services_of(workload):
        for _, one in mappings(dig(service.obj, "spec", "ports")):
            told = text(one.get("appProtocol")) or text(one.get("name"))
            if _LONG.search(told.lower()):
                yield f'port "{told}" of Service {service.obj["metadata"].get("name")}'
        for ingress in _ingresses_to(case, service):
            annotations = mapping(dig(ingress.obj, "metadata", "annotations"))
            told = str(annotations.get(_READ_TIMEOUT, ""))
            if told.isdecimal() and len(told) < 9 and int(told) >= _LONG_READ_S:
                yield f"{_READ_TIMEOUT} {told} of Ingress {ingress.obj['metadata'].get('name')}"


def _ingresses_to(case: Case, service: Document) -> Iterator[Document]:
    name = service.obj["metadata"].get("name")
    for one in case.bundle.of_kind("Ingress"):
        if namespace_of(one.obj) == namespace_of(service.obj) and any(
            dig(path, "backend", "service", "name") == name
            for _, rule in mappings(dig(one.obj, "spec", "rules"))
            for _, path in mappings(dig(rule, "http", "paths"))
        ):
            yield one
