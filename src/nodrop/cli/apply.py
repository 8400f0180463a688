"""Bring the cluster's objects to what manifests say: all of them or, on bad input, none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from nodrop.check.grace import hook_warnings
from nodrop.check.source import Document
from nodrop.cli.hints import hint_for
from nodrop.cli.session import Failure
from nodrop.model.errors import ApiError
from nodrop.model.kinds import KINDS, NAMESPACE, Kind, kind_of
from nodrop.model.meta import Obj, ObjectKey, annotations_of, key_of
from nodrop.model.patch import three_way_patch
from nodrop.model.validate import missing_command

BASE_DIR = "nodrop.dev/base-dir"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_WORKLOADS = {"Deployment", "ReplicaSet"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What happened to one object."""

    key: ObjectKey
    outcome: Literal["created", "configured", "unchanged"]

    def __str__(self) -> str:
        kind = self.key.kind
        resource = f"{kind.singular}.{kind.group}" if kind.group else kind.singular
        return f"{resource}/{self.key.name} {self.outcome}"


def prepare(documents: Iterable[Document], namespace: str) -> list[Obj]:
    """Objects ready to send: kind known, namespace set, folder recorded. Raises Failure.

    Every document is looked at before anything is sent, and all that is wrong is told at once.
    """
    wrong: list[str] = []
    prepared: list[Obj] = []
    for document in documents:
        kind = kind_of(document.obj["apiVersion"], document.obj["kind"])
        if kind is None:
            wrong.append(f"{document}: {_unserved(document.obj)}")
            continue
        obj = _complete(document.obj, kind, namespace=namespace, folder=document.folder)
        pod_spec, path = _pod_spec(obj)
        wrong.extend(
            f"{document}: {path}{missing}: Required value: nodrop runs processes, so an image has "
            "no entrypoint here: give the command to run"
            for missing in (missing_command(pod_spec) if pod_spec else ())
        )
        prepared.append(obj)
    if wrong:
        raise Failure("\n".join(wrong))
    return sorted(prepared, key=lambda obj: obj["kind"] != "Namespace")


def warnings_of(objects: Iterable[Obj]) -> list[str]:
    """What the manifests already show to go wrong in a rollout, though the API takes them."""
    found: list[str] = []
    for obj in objects:
        pod_spec, path = _pod_spec(obj)
        if pod_spec:
            name = f"{obj['kind']} {obj['metadata']['name']}"
            found.extend(f"{name}: {text}" for text in hook_warnings(pod_spec, path.rstrip(".")))
    return found


class Api(Protocol):
    """What applying needs of an API; an engine's HttpClient has it."""

    async def get(self, key: ObjectKey) -> Obj: ...

    async def create(self, obj: Obj, *, query: Mapping[str, str] | None = None) -> Obj: ...

    async def patch_strategic(
        self, key: ObjectKey, patch: Obj, *, query: Mapping[str, str] | None = None
    ) -> Obj: ...


async def apply_all(client: Api, objects: Sequence[Obj]) -> list[Applied]:
    """Apply ``objects`` in order, after a dry run of all. Raises Failure; then nothing changed."""
    new_namespaces = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace"}
    wrong: list[ApiError] = []
    for obj in objects:
        try:
            await _try(client, obj, new_namespaces)
        except ApiError as error:
            wrong.append(error)
    if wrong:
        hints = dict.fromkeys(filter(None, map(hint_for, wrong)))
        raise Failure("\n".join(str(error) for error in wrong), hint="\n".join(hints))
    return [await _apply(client, obj, dry_run=False) for obj in objects]


# Private


def _unserved(obj: Obj) -> str:
    served = ", ".join(sorted({kind.kind for kind in KINDS}))
    same = next((kind for kind in KINDS if kind.kind == obj["kind"]), None)
    if same:
        return (
            f'apiVersion: Invalid value: "{obj["apiVersion"]}": {obj["kind"]} is served as '
            f"{same.api_version}"
        )
    return f'kind: Unsupported value: "{obj["kind"]}": nodrop serves {served}'


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
        await client.create(modified, query=_query(dry_run=dry_run))
        return Applied(key, "created")
    original = json.loads(annotations_of(current).get(LAST_APPLIED) or "{}")
    patch = three_way_patch(original, modified, current, key.kind)
    if not patch:
        return Applied(key, "unchanged")
    written = await client.patch_strategic(key, patch, query=_query(dry_run=dry_run))
    same = written["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
    return Applied(key, "unchanged" if same else "configured")


def _query(*, dry_run: bool) -> dict[str, str]:
    """Unknown fields are errors: a misspelt one would be dropped without a word."""
    query = {"fieldValidation": "Strict", "fieldManager": "nodrop-up"}
    return {**query, "dryRun": "All"} if dry_run else query


def _with_last_applied(obj: Obj) -> Obj:
    text = json.dumps(obj, separators=(",", ":"), sort_keys=True) + "\n"
    metadata = dict(obj["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), LAST_APPLIED: text}
    return {**obj, "metadata": metadata}
