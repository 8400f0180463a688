"""Objects of kinds that nodrop doesn't serve: what they are, what passing them over means. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from nodrop.check.source import Document
from nodrop.model.kinds import FORMS, KINDS, kind_of
from nodrop.model.meta import Obj

HINT = "--skip-unserved passes over the objects of kinds that nodrop doesn't serve, with a warning"

#: Kubernetes' own kinds that nodrop doesn't serve, by group, and what it means that they aren't.
_UPSTREAM: dict[tuple[str, str], str] = {
    ("apps", "StatefulSet"): "not run",
    ("apps", "DaemonSet"): "not run",
    ("batch", "Job"): "not run",
    ("batch", "CronJob"): "not run",
    ("", "ReplicationController"): "not run",
    ("", "PersistentVolumeClaim"): "there is no such storage: a pod that mounts it can't start",
    ("", "PersistentVolume"): "there is no such storage",
    ("", "LimitRange"): "no limits or defaults come of it",
    ("", "ResourceQuota"): "nothing is limited by it",
    ("autoscaling", "HorizontalPodAutoscaler"): "the number of replicas stays as written",
    ("networking.k8s.io", "NetworkPolicy"): "not enforced: every pod can reach every other",
    ("policy", "PodSecurityPolicy"): "not enforced",
}
#: Groups whose kinds are all known: another kind in one of these is misspelt, not custom.
_KNOWN_GROUPS = {kind.group for kind in (*KINDS, *FORMS)} | {group for group, _ in _UPSTREAM}
#: What tools read and no cluster takes; passed over, its patches would be lost without a word.
_TOOLS = {"kustomize.config.k8s.io"}
#: Groups of Kubernetes' own of which nodrop serves nothing.
_UNREAD_GROUPS = {
    "admissionregistration.k8s.io",
    "apiregistration.k8s.io",
    "certificates.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "node.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
}
_UNREAD = "nothing in nodrop reads it"
_CUSTOM = f"{_UNREAD} (a custom object: kubectl applies and deletes it, nodrop up and down don't)"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An object that is left out; ``meaning`` is what follows from that."""

    place: str
    kind: str
    name: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}/{self.name} is passed over: {self.meaning}"


def without_unserved(documents: Iterable[Document]) -> tuple[list[Document], list[PassedOver]]:
    """The documents that are left, and what is passed over.

    Misspelt kinds, groups and versions stay among the first: they are somebody's mistake.
    """
    left: list[Document] = []
    passed: list[PassedOver] = []
    for document in documents:
        meaning = meaning_of(document.obj)
        if meaning is None:
            left.append(document)
        else:
            obj = document.obj
            passed.append(PassedOver(str(document), obj["kind"], name_of(obj), meaning))
    return left, passed


def meaning_of(obj: Obj) -> str | None:
    """What it means that nodrop doesn't serve this kind; None: it does, or nobody would."""
    if kind_of(obj["apiVersion"], obj["kind"]):
        return None
    group = _group_of(obj)
    if known := _UPSTREAM.get((group, obj["kind"])):
        return known
    if group in _UNREAD_GROUPS:
        return _UNREAD
    custom = "." in group and group not in _KNOWN_GROUPS | _TOOLS
    return _CUSTOM if custom and not _is_misspelt(group, obj["kind"]) else None


def fault_of(obj: Obj) -> str:
    """Why an object whose kind is not served is refused, naming what would be right."""
    kind = obj["kind"]
    if meaning_of(obj) is not None:
        return f'{kind} {name_of(obj)}: kind: Unsupported value: "{kind}": nodrop doesn\'t serve it'
    same = next((served for served in KINDS if served.kind == kind), None)
    if same:
        return (
            f'apiVersion: Invalid value: "{obj["apiVersion"]}": {kind} is served as '
            f"{same.api_version}"
        )
    served = ", ".join(sorted({one.kind for one in KINDS}))
    meant = _meant(kind)
    mend = f'did you mean "{meant}"?' if meant else f"nodrop serves {served}"
    return f'kind: Unsupported value: "{kind}": {mend}'


def name_of(obj: Obj) -> str:
    """Its name, or the beginning of the one that it would get."""
    metadata = obj["metadata"]
    return str(metadata.get("name") or f"{metadata.get('generateName')}*")


# Private


def _group_of(obj: Obj) -> str:
    group: str = obj["apiVersion"].rpartition("/")[0]
    return group


def _is_misspelt(group: str, kind: str) -> bool:
    """Whether a served kind is meant, in a group that is nearly its own."""
    served = [one.group for one in KINDS if one.kind == kind]
    return bool(difflib.get_close_matches(group, served, n=1, cutoff=0.85))


def _meant(word: str) -> str:
    """The kind that somebody who wrote ``word`` had in mind, or ""."""
    names = {name.lower(): kind.kind for kind in KINDS for name in (kind.plural, kind.kind)}
    names |= {kind.lower(): kind for _, kind in _UPSTREAM}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.85)
    return names[close[0]] if close else ""
