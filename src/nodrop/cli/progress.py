"""How a rollout stands, in words: from objects to lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nodrop.model.meta import Obj, annotations_of, is_deleting, labels_of, parse_time

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
_DEADLINE = "ProgressDeadlineExceeded"
#: Waiting reasons that don't mend themselves by waiting for the same pod.
_CONFIG_ERRORS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
#: Events of a pod whose containers can't be made for want of a volume.
_VOLUME_REASONS = ("FailedMount", "Unsupported")
_CRASHES_BEFORE_FAILED = 2
#: As many as a probe's failureThreshold is by default.
_FAILURES_THAT_GO_ON = 3
_ADDRESS = re.compile(r"\b127(?:\.\d+){3}\b")
_RESTARTED = re.compile(r" \(restarted \d+ times?\)")
_WHOLE_PATH = re.compile(r" in PATH \S*:\S*")


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps one container from being ready. ``lasted_s``: between the first and the last time
    that the message was the same."""

    pod: str
    container: str
    reason: str
    message: str
    lasting: bool  # waiting will hardly mend it
    wants_logs: bool = False
    times: int = 1  # how often it was seen
    lasted_s: float = 0.0

    def __str__(self) -> str:
        return f"pod {self.pod}, container {self.container}: {self.reason}: {self.message}"

    @property
    def fault(self) -> str:
        """What stays the same across replicas and repetitions, to tell it only once."""
        plain = _ADDRESS.sub("", _RESTARTED.sub("", self.message))
        return f"{self.container}: {self.reason}: {plain}"

    @property
    def goes_on(self) -> bool:
        """Worth a line while waiting: not the first refusals while a program starts."""
        return self.times >= _FAILURES_THAT_GO_ON


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rollout is. ``message`` is what ``kubectl rollout status`` would say."""

    state: Literal["progressing", "done", "failed"]
    message: str
    problems: tuple[Problem, ...] = field(default=())
    paused: bool = False

    @property
    def short(self) -> str:
        """The message without what goes without saying at the end."""
        return self.message.rpartition("rollout to finish: ")[2].removesuffix("...")


def standing_of(deployment: Obj, pods: Sequence[Obj] = (), events: Sequence[Obj] = ()) -> Standing:
    """How the rollout of ``deployment`` stands; ``pods`` are those of its new ReplicaSet."""
    message, done, failed = rollout_message(deployment)
    if done:
        return Standing("done", message)
    problems = tuple(problems_of(pods, events))
    if failed:
        return Standing("failed", message, problems)
    return Standing("progressing", message, problems, bool(deployment["spec"].get("paused")))


def rollout_message(deployment: Obj) -> tuple[str, bool, bool]:
    """(text, done, failed) exactly as kubectl words it (semantics: kubectl rollout status)."""
    name = deployment["metadata"]["name"]
    spec, status = deployment["spec"], deployment.get("status") or {}
    if deployment["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False, False
    progressing = condition(deployment, "Progressing")
    if progressing and progressing.get("reason") == _DEADLINE:
        return f'deployment "{name}" exceeded its progress deadline', False, True
    desired = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < desired:
        return (
            f"{waiting}{updated} out of {desired} new replicas have been updated...",
            False,
            False,
        )
    if total > updated:
        return f"{waiting}{total - updated} old replicas are pending termination...", False, False
    if available < updated:
        return (
            f"{waiting}{available} of {updated} updated replicas are available...",
            False,
            False,
        )
    return f'deployment "{name}" successfully rolled out', True, False


def problems_of(pods: Iterable[Obj], events: Sequence[Obj] = ()) -> Iterable[Problem]:
    """Why pods that should be ready are not."""
    for pod in pods:
        if is_deleting(pod):
            continue
        status = pod.get("status") or {}
        for container in status.get("containerStatuses") or ():
            if container.get("ready"):
                continue
            if problem := _problem(pod["metadata"]["name"], container):
                yield problem
            elif "waiting" in (container.get("state") or {}) and (
                failing := _events_of(pod, events, *_VOLUME_REASONS)
            ):
                reason, message = failing[-1]["reason"], str(failing[-1].get("message", ""))
                name = pod["metadata"]["name"]
                yield Problem(name, container["name"], reason, message, lasting=True)
            elif failing := _events_of(pod, events, "Unhealthy"):
                yield Problem(
                    pod["metadata"]["name"],
                    container["name"],
                    "Unhealthy",
                    str(failing[-1].get("message", "")),
                    lasting=False,
                    wants_logs=True,
                    times=sum(event.get("count") or 1 for event in failing),
                    lasted_s=_lasted_s(failing[-1]),
                )


def condition(obj: Obj, kind: str) -> Obj | None:
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            match: Obj = found
            return match
    return None


def image_of(obj: Obj) -> str:
    """The images of a pod or of a workload's template, the version that people see."""
    spec = obj["spec"].get("template", {}).get("spec") or obj["spec"]
    return ", ".join(container.get("image", "") for container in spec.get("containers", ()))


def phase_of(pod: Obj) -> str:
    """One word for a person: Ready, Starting, Terminating, or what is wrong."""
    status = pod.get("status") or {}
    if is_deleting(pod):
        return "Terminating"
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return str(waiting["reason"])
    if status.get("phase") in ("Succeeded", "Failed"):
        return str(status["phase"])
    ready = condition(pod, "Ready")
    return "Ready" if ready and ready.get("status") == "True" else "Starting"


def new_pods(replica_sets: Iterable[Obj], pods: Iterable[Obj], deployment: Obj) -> list[Obj]:
    """The pods of the newest revision of ``deployment``."""
    uid, revision = deployment["metadata"]["uid"], annotations_of(deployment).get(REVISION)
    hashes = {
        labels_of(rs).get(HASH)
        for rs in replica_sets
        if _owned_by(rs, uid) and annotations_of(rs).get(REVISION) == revision
    }
    uids = {rs["metadata"]["uid"] for rs in replica_sets if labels_of(rs).get(HASH) in hashes}
    return [pod for pod in pods if any(_owned_by(pod, uid) for uid in uids)]


def serving_revisions(replica_sets: Iterable[Obj], deployment: Obj) -> dict[int, int]:
    """Revisions of ``deployment`` that have ready pods, with how many."""
    uid, ready = deployment["metadata"]["uid"], {}
    for rs in replica_sets:
        count = (rs.get("status") or {}).get("readyReplicas", 0)
        if _owned_by(rs, uid) and count:
            ready[int(annotations_of(rs).get(REVISION, 0))] = count
    return ready


def revision_to_go_back_to(serving: Mapping[int, int], deployment: Obj) -> int | None:
    """The newest revision that serves and is not the one that rolls out; None without one."""
    current = int(annotations_of(deployment).get(REVISION, 0))
    return max((revision for revision in serving if revision != current), default=None)


def way_out(namespace: str, name: str, go_back_to: int | None, *, paused: bool) -> str:
    """What to do about a rollout that did not end well."""
    where = name if namespace == "default" else f"{name} -n {namespace}"
    if paused:
        return f"{name} is paused; go on with: nodrop rollout resume {where}"
    if go_back_to is None:
        return f"no other version of {name} serves: mend the manifest and apply it again"
    return (
        f"pods of revision {go_back_to} keep serving; go back with: "
        f"nodrop rollout undo {where} --to-revision {go_back_to}"
    )


def when(event: Obj) -> tuple[str, int]:
    """Sorts Events by time: their stamps are whole seconds, within one the revision decides."""
    stamp = event.get("lastTimestamp") or event.get("eventTime") or ""
    return stamp, int(event["metadata"].get("resourceVersion") or 0)


# Private


def _owned_by(obj: Obj, uid: str) -> bool:
    return any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences") or ())


def _problem(pod: str, container: Obj) -> Problem | None:
    name, state = container["name"], container.get("state") or {}
    last = (container.get("lastState") or {}).get("terminated") or state.get("terminated")
    if waiting := state.get("waiting"):
        reason = waiting.get("reason", "")
        if reason in _CONFIG_ERRORS:
            message = _WHOLE_PATH.sub(" in PATH", waiting.get("message", ""))
            return Problem(pod, name, reason, message, True)
        if last and container.get("restartCount", 0) >= 1:
            return _crash(pod, container, last)
    elif last and (state.get("terminated") or container.get("restartCount", 0) >= 1):
        return _crash(pod, container, last)
    return None


def _crash(pod: str, container: Obj, last: Obj) -> Problem:
    restarts = container.get("restartCount", 0)
    message = f"ended with exit code {last.get('exitCode')}"
    if restarts:
        message += f" (restarted {restarts} time{'s' if restarts != 1 else ''})"
    lasting = restarts >= _CRASHES_BEFORE_FAILED
    return Problem(pod, container["name"], "Crashed", message, lasting, wants_logs=True)


def _lasted_s(event: Obj) -> float:
    first, last = event.get("firstTimestamp"), event.get("lastTimestamp")
    return (parse_time(last) - parse_time(first)).total_seconds() if first and last else 0.0


def _events_of(pod: Obj, events: Sequence[Obj], *reasons: str) -> list[Obj]:
    """The Events of ``pod`` with these reasons, the latest last."""
    uid = pod["metadata"]["uid"]
    failing = [
        event
        for event in events
        if event.get("reason") in reasons and (event.get("involvedObject") or {}).get("uid") == uid
    ]
    return sorted(failing, key=when)
