"""Bring the cluster's objects to what manifests say: all of them or, on bad input, none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from nodrop.check.finding import NODROP, at_least
from nodrop.check.judge import judge
from nodrop.check.settings import Settings
from nodrop.check.source import Document
from nodrop.cli.hints import hint_for
from nodrop.cli.session import Failure
from nodrop.cli.unserved import HINT, fault_of, meaning_of
from nodrop.model.errors import ApiError
from nodrop.model.kinds import NAMESPACE, Kind, kind_of
from nodrop.model.meta import Obj, ObjectKey, annotations_of, key_of
from nodrop.model.patch import three_way_patch
from nodrop.model.schema import decode_strictness
from nodrop.model.validate import missing_command

BASE_DIR = "nodrop.dev/base-dir"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_WORKLOADS = {"Deployment", "ReplicaSet"}
_UNNAMED = "metadata.name: Required value: generateName is for kubectl create only"
_NO_ENTRYPOINT = (
    "nodrop runs processes, so an image has no entrypoint here: give the command to run"
)


_STANDS = "the same object stands at"
_ONE_VERSION = "give one version at a time: a file instead of a folder that holds several"


@dataclass(frozen=True, slots=True)
class Applied:
    """What happened to one object. ``rolls``: its pods' template has changed, so they go."""

    key: ObjectKey
    outcome: Literal["created", "configured", "unchanged"]
    rolls: bool = False

    def __str__(self) -> str:
        return f"{spoken(self.key)} {self.outcome}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one object; ``place`` is where it stands, ``FILE:LINE``."""

    message: str
    place: str = ""
    key: ObjectKey | None = None

    def __str__(self) -> str:
        about = f"{self.key.kind.kind} {self.key.name}: " if self.key else ""
        return f"{self.place}: {about}{self.message}" if self.place else f"{about}{self.message}"


class Refused(Failure):
    """Nothing was applied: some objects are not right."""

    def __init__(self, faults: Sequence[Fault], *, hint: str = "") -> None:
        super().__init__("\n".join(map(str, faults)), hint=hint)
        self.faults = tuple(faults)


def spoken(key: ObjectKey) -> str:
    """An object as kubectl writes it: ``deployment.apps/web``."""
    kind = key.kind
    resource = f"{kind.singular}.{kind.group}" if kind.group else kind.singular
    return f"{resource}/{key.name}"


def prepare(
    documents: Iterable[Document], namespace: str, *, needs_command: bool = True
) -> list[Obj]:
    """Objects ready to send: kind known, namespace set, folder recorded. Raises Refused.

    Every document is looked at before anything is sent, and all that is wrong is told at once.
    ``needs_command`` False: for a real cluster, whose images have entrypoints.
    """
    wrong: list[Fault] = []
    unserved = False
    prepared: dict[ObjectKey, tuple[Obj, Document]] = {}
    for document in documents:
        kind = kind_of(document.obj["apiVersion"], document.obj["kind"])
        if kind is None:
            wrong.append(Fault(fault_of(document.obj), str(document)))
            unserved |= meaning_of(document.obj) is not None
            continue
        if wrong_types := _wrong_types(document, kind):
            wrong.extend(wrong_types)
            continue
        if not document.obj["metadata"].get("name"):
            wrong.append(Fault(_UNNAMED, str(document)))
            continue
        obj = _complete(document.obj, kind, namespace=namespace, folder=document.folder)
        key = key_of(obj)
        if key in prepared:
            message = f"{_STANDS} {prepared[key][1]} already"
            wrong.append(Fault(message, str(document), key))
            continue
        pod_spec, path = _pod_spec(obj)
        wrong.extend(
            Fault(f"{path}{missing}: Required value: {_NO_ENTRYPOINT}", str(document), key)
            for missing in (missing_command(pod_spec) if pod_spec and needs_command else ())
        )
        prepared[key] = obj, document
    if wrong:
        versions = _ONE_VERSION if _STANDS in wrong[0].message else ""
        raise Refused(wrong, hint=HINT if unserved else versions)
    objects = [obj for obj, _ in prepared.values()]
    return sorted(objects, key=lambda obj: obj["kind"] != "Namespace")


def refused_here(documents: Iterable[Document]) -> list[Fault]:
    """What nodrop refuses and a cluster takes: kinds that are not served, images' own commands.

    Each document by itself, and none whose types are wrong: that nobody takes.
    """
    found: list[Fault] = []
    for document in documents:
        kind = kind_of(document.obj["apiVersion"], document.obj["kind"])
        if kind is not None and decode_strictness(document.obj, kind).wrong_types:
            continue
        try:
            prepare([document], "default")
        except Refused as error:
            found.extend(error.faults)
    return found


def places_of(documents: Iterable[Document], namespace: str) -> dict[ObjectKey, str]:
    """Where each object stands, ``FILE:LINE``, for what the server says about it."""
    return {
        key_of(_complete(document.obj, kind, namespace=namespace, folder=document.folder)): str(
            document
        )
        for document in documents
        if (kind := kind_of(document.obj["apiVersion"], document.obj["kind"]))
    }


def warnings_of(documents: Sequence[Document]) -> list[str]:
    """What the manifests already show to go wrong on nodrop, though the API takes them.

    Where objects lead is asked of what lives (``cluster_warnings``), and what the API refuses it
    says itself. Rules that rest on a figure that nobody has given here are left to ``check``.
    """
    elsewhere = ("ND0", "ND101", "ND304", "ND5", "ND7")
    findings = judge(documents, Settings(targets=NODROP, ignore=elsewhere))
    return [
        f"{one.file}:{one.position.line}: {one.subject}: {one.message} ({one.card.id})"
        for one in findings
        if at_least(one.level, "warning")
    ]


class Api(Protocol):
    """What applying needs of an API: an engine's HttpClient has it, a plan's simulated one too."""

    async def get(self, key: ObjectKey) -> Obj: ...

    async def create(self, obj: Obj, *, query: Mapping[str, str] | None = None) -> Obj: ...

    async def patch_strategic(
        self, key: ObjectKey, patch: Obj, *, query: Mapping[str, str] | None = None
    ) -> Obj: ...


async def apply_all(
    client: Api,
    objects: Sequence[Obj],
    *,
    places: Mapping[ObjectKey, str] | None = None,
    done: Callable[[Applied], None] = lambda _applied: None,
) -> list[Applied]:
    """Apply ``objects`` in order, after a dry run of all. Raises Refused; then nothing changed.

    ``places`` say where objects stand; ``done`` is told of each object when it is applied.
    """
    new_namespaces = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace"}
    wrong: list[tuple[Fault, ApiError]] = []
    for obj in objects:
        try:
            await _try(client, obj, new_namespaces)
        except ApiError as error:
            if error.code == 0:  # nobody answers; that is not the object's fault
                raise
            key = key_of(obj)
            wrong.append((Fault(error.message, (places or {}).get(key, ""), key), error))
    if wrong:
        hints = dict.fromkeys(filter(None, (hint_for(error) for _, error in wrong)))
        raise Refused([fault for fault, _ in wrong], hint="\n".join(hints))
    applied: list[Applied] = []
    for obj in objects:
        applied.append(await _apply(client, obj, dry_run=False))
        done(applied[-1])
    return applied


# Private


def _wrong_types(document: Document, kind: Kind) -> list[Fault]:
    """What the API would refuse as unreadable, in its words; nothing else can be asked of it."""
    found = decode_strictness(document.obj, kind).wrong_types
    name = document.obj["metadata"].get("name")
    about = f"{kind.kind} {name}: " if isinstance(name, str) else ""
    return [Fault(f"{about}{one}", str(document)) for one in found]


def _complete(obj: Obj, kind: Kind, *, namespace: str, folder: Path) -> Obj:
    metadata = dict(obj["metadata"])
    if kind.namespaced:
        metadata.setdefault("namespace", namespace)
    done = {**obj, "metadata": metadata}
    if kind.kind in _WORKLOADS:
        spec = dict(done.get("spec") or {})
        template = dict(spec.get("template") or {})
        spec["template"] = _with_annotation(template, BASE_DIR, str(folder))
        done["spec"] = spec
    elif kind.kind == "Pod":
        done = _with_annotation(done, BASE_DIR, str(folder))
    return done


def _with_annotation(obj: Obj, key: str, value: str) -> Obj:
    metadata = dict(obj.get("metadata") or {})
    metadata["annotations"] = {key: value, **(metadata.get("annotations") or {})}
    return {**obj, "metadata": metadata}


def _pod_spec(obj: Obj) -> tuple[Obj | None, str]:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return None, ""
    if obj["kind"] == "Pod":
        return spec, "spec."
    if obj["kind"] in _WORKLOADS and isinstance(spec["template"].get("spec"), dict):
        return spec["template"]["spec"], "spec.template.spec."
    return None, ""


async def _try(client: Api, obj: Obj, new_namespaces: set[str]) -> None:
    """A dry run. What lives in a namespace that is yet to come is tried in ``default``."""
    namespace = obj["metadata"].get("namespace")
    if namespace in new_namespaces and not await _exists(
        client, ObjectKey(NAMESPACE, "", namespace)
    ):
        metadata = {**obj["metadata"], "namespace": "default"}
        try:
            await client.create({**obj, "metadata": metadata}, query=_query(dry_run=True))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        return
    await _apply(client, obj, dry_run=True)


async def _exists(client: Api, key: ObjectKey) -> bool:
    try:
        await client.get(key)
    except ApiError as error:
        if error.code == 404:
            return False
        raise
    return True


async def _apply(client: Api, obj: Obj, *, dry_run: bool) -> Applied:
    key = key_of(obj)
    modified = _with_last_applied(obj)
    try:
        current = await client.get(key)
    except ApiError as error:
        if error.code != 404:
            raise
        found = await _create(client, modified, dry_run=dry_run)
        if found is None:
            return Applied(key, "created")
        current = found
    original = json.loads(annotations_of(current).get(LAST_APPLIED) or "{}")
    patch = three_way_patch(original, modified, current, key.kind)
    if not patch:
        return Applied(key, "unchanged")
    written = await client.patch_strategic(key, patch, query=_query(dry_run=dry_run))
    same = written["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
    if same:
        return Applied(key, "unchanged")
    return Applied(key, "configured", rolls=_template(written) != _template(current))


def _template(obj: Obj) -> object:
    return (obj.get("spec") or {}).get("template")


async def _create(client: Api, obj: Obj, *, dry_run: bool) -> Obj | None:
    """None when it was created; else what somebody else has created since it was looked for."""
    try:
        await client.create(obj, query=_query(dry_run=dry_run))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        return await client.get(key_of(obj))
    return None


def _query(*, dry_run: bool) -> dict[str, str]:
    """Unknown fields are errors: a misspelt one would be dropped without a word."""
    query = {"fieldValidation": "Strict", "fieldManager": "nodrop-up"}
    return {**query, "dryRun": "All"} if dry_run else query


def _with_last_applied(obj: Obj) -> Obj:
    """Note what was applied, as kubectl does, so that either may go on from the other.

    The folder is not part of it: no manifest holds it, so ``kubectl apply`` would take it away.
    """
    text = json.dumps(without_folder(obj), separators=(",", ":"), sort_keys=True) + "\n"
    metadata = dict(obj["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), LAST_APPLIED: text}
    return {**obj, "metadata": metadata}


def without_folder(obj: Obj) -> Obj:
    """``obj`` as its manifest says it, without the annotation that ``prepare`` adds."""
    if obj["kind"] == "Pod":
        return _without_annotation(obj, BASE_DIR)
    if obj["kind"] not in _WORKLOADS or "template" not in (obj.get("spec") or {}):
        return obj
    template = _without_annotation(obj["spec"]["template"], BASE_DIR)
    return {**obj, "spec": {**obj["spec"], "template": template}}


def _without_annotation(obj: Obj, key: str) -> Obj:
    """An empty map that stays behind would be an order to delete what others have put there."""
    metadata = dict(obj.get("metadata") or {})
    annotations = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k != key}
    if annotations:
        metadata["annotations"] = annotations
    rest = {k: v for k, v in obj.items() if k != "metadata"}
    return {**rest, "metadata": metadata} if metadata else rest
