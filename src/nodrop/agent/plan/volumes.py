"""What a volume of a pod shall hold: folders, files from objects, or a path of the machine. Pure.

Every source that a volume names is looked up here; what is missing becomes a sentence.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nodrop.agent.plan.env import Lookup, PodFacts, Source, field_value, resource_of
from nodrop.events import Reason
from nodrop.model.meta import Obj, annotations_of, labels_of

_DEFAULT_MODE = 0o644
_DEFAULT_LIFE_S = 3600
_HELD = ("emptyDir", "configMap", "secret", "downwardAPI", "projected", "hostPath")
HOST_PATH_TYPES = (
    "",
    "DirectoryOrCreate",
    "Directory",
    "FileOrCreate",
    "File",
    "Socket",
    "CharDevice",
    "BlockDevice",
)


class VolumeFailure(Exception):
    """A volume can't be had as things are. ``reason`` is that of the Event that tells people."""

    def __init__(self, message: str, reason: Reason = Reason.FAILED_MOUNT) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int = _DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class EmptyDir:
    pass


@dataclass(frozen=True, slots=True)
class Files:
    """Files by path inside the volume."""

    files: Mapping[str, File]


@dataclass(frozen=True, slots=True)
class HostPath:
    path: str
    type: str = ""


#: The token of the pod's service account for an audience ("": the API) and a life in seconds.
TokenOf: TypeAlias = Callable[[str, int], str]
Content: TypeAlias = EmptyDir | Files | HostPath


@dataclass(frozen=True, slots=True)
class VolumeSources:
    """What the files of a volume may come from: the pod itself, other objects, tokens."""

    pod: Obj
    facts: PodFacts
    lookup: Lookup
    token: TokenOf


def plan_volume(volume: Obj, index: int, sources: VolumeSources) -> Content:
    """What entry ``index`` of ``spec.volumes`` holds now. Raises VolumeFailure."""
    kind = next((name for name in _HELD if volume.get(name) is not None), None)
    match kind:
        case "emptyDir":
            return EmptyDir()
        case "hostPath":
            return HostPath(volume["hostPath"]["path"], volume["hostPath"].get("type") or "")
        case None:
            named = ", ".join(sorted(volume.keys() - {"name"}))
            raise VolumeFailure(
                f"spec.volumes[{index}].{named}: nodrop has no such volumes; use emptyDir, "
                "configMap, secret, downwardAPI, projected or hostPath",
                Reason.UNSUPPORTED,
            )
        case _:
            try:
                return Files(_files(volume, index, sources))
            except VolumeFailure as failure:
                if failure.reason != Reason.FAILED_MOUNT:
                    raise
                at = f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
                raise VolumeFailure(f"{at}{failure}") from failure


def _files(volume: Obj, index: int, sources: VolumeSources) -> dict[str, File]:
    if (source := volume.get("projected")) is not None:
        files: dict[str, File] = {}
        mode = source.get("defaultMode", _DEFAULT_MODE)
        for number, part in enumerate(source.get("sources") or ()):
            if part.get("clusterTrustBundle"):
                raise VolumeFailure(
                    f"spec.volumes[{index}].projected.sources[{number}].clusterTrustBundle: "
                    "nodrop has none; use a ConfigMap with the certificates",
                    Reason.UNSUPPORTED,
                )
            files |= _part(part, mode, sources)
        return files
    mode = next(
        (volume[kind].get("defaultMode", _DEFAULT_MODE) for kind in _HELD if kind in volume),
        _DEFAULT_MODE,
    )
    part = dict(volume)
    if (secret := part.get("secret")) is not None:
        part["secret"] = {**secret, "name": secret.get("secretName", "")}
    return _part(part, mode, sources)


def _part(part: Obj, mode: int, sources: VolumeSources) -> dict[str, File]:
    """The files of one source: a ConfigMap, a Secret, a token or fields of the pod."""
    if (source := part.get("configMap")) is not None:
        return _of_object("ConfigMap", source, mode, sources.lookup)
    if (source := part.get("secret")) is not None:
        return _of_object("Secret", source, mode, sources.lookup)
    if (source := part.get("serviceAccountToken")) is not None:
        life_s = source.get("expirationSeconds") or _DEFAULT_LIFE_S
        token = sources.token(source.get("audience") or "", life_s)
        return {source["path"]: File(token.encode(), _private(mode))}
    items: Sequence[Obj] = (part.get("downwardAPI") or {}).get("items") or ()
    return {
        item["path"]: File(_field(item, sources).encode(), item.get("mode", mode)) for item in items
    }


def _private(mode: int) -> int:
    """Nobody else on this machine may read a token: pods run as the engine's own user."""
    return mode & 0o700


def _of_object(kind: Source, source: Obj, mode: int, lookup: Lookup) -> dict[str, File]:
    name, optional = source.get("name") or "", bool(source.get("optional"))
    found = lookup(kind, name)
    if found is None:
        if optional:
            return {}
        raise VolumeFailure(f'{kind.lower()} "{name}" not found')
    data = _decoded(kind, found)
    if source.get("items") is None:
        return {key: File(value, mode) for key, value in data.items()}
    files = {}
    for item in source["items"]:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
        elif not optional:
            kinds = {
                "ConfigMap": "configmap references non-existent config key",
                "Secret": "references non-existent secret key",
            }
            raise VolumeFailure(f"{kinds[kind]}: {item['key']}")
    return files


def _decoded(kind: Source, obj: Obj) -> dict[str, bytes]:
    data: Mapping[str, str] = obj.get("data") or {}
    decode: Callable[[str], bytes] = base64.b64decode
    if kind == "Secret":
        return {key: decode(value) for key, value in data.items()}
    binary: Mapping[str, str] = obj.get("binaryData") or {}
    return {
        **{key: value.encode() for key, value in data.items()},
        **{key: decode(value) for key, value in binary.items()},
    }


def _field(item: Obj, sources: VolumeSources) -> str:
    pod, facts = sources.pod, sources.facts
    if (reference := item.get("resourceFieldRef")) is not None:
        return resource_of(reference, pod, facts)
    path = item["fieldRef"]["fieldPath"]
    if path in ("metadata.labels", "metadata.annotations"):
        held = labels_of(pod) if path == "metadata.labels" else annotations_of(pod)
        return "\n".join(f"{key}={_quoted(held[key])}" for key in sorted(held))
    return field_value(path, pod, facts)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
