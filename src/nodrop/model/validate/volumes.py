"""Rules for what a volume's source holds: required fields, and files that stay inside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import invalid, required

_KEYED = ("configMap", "secret")
_SHORTEST_LIFE_S, _LONGEST_LIFE_S = 600, 1 << 32


def validate_source(volume: Obj, path: str) -> list[Cause]:
    """Causes for the source of one entry of ``spec.volumes``."""
    causes: list[Cause] = []
    if (host := volume.get("hostPath")) is not None and not host.get("path"):
        causes.append(required(f"{path}.hostPath.path"))
    causes += _part(volume, path)
    sources = (volume.get("projected") or {}).get("sources") or ()
    for index, source in enumerate(sources):
        where = f"{path}.projected.sources[{index}]"
        causes += _part(source or {}, where)
        causes += _token((source or {}).get("serviceAccountToken"), f"{where}.serviceAccountToken")
    return causes


# Private


def _part(part: Obj, path: str) -> list[Cause]:
    """A ConfigMap, a Secret or fields of the pod, alone or in a projected volume."""
    keyed = (
        _item(item, where, needs_key=True)
        for kind in _KEYED
        for item, where in _items(part.get(kind), f"{path}.{kind}")
    )
    fields = (
        chain(_item(item, where, needs_key=False), _reference(item, where))
        for item, where in _items(part.get("downwardAPI"), f"{path}.downwardAPI")
    )
    return [cause for causes in chain(keyed, fields) for cause in causes]


def _token(source: Obj | None, path: str) -> list[Cause]:
    if source is None:
        return []
    causes, life_s = list(_file(source.get("path"), path)), source.get("expirationSeconds")
    if life_s is not None and life_s < _SHORTEST_LIFE_S:
        why = "may not specify a duration less than 10 minutes"
        causes.append(invalid(f"{path}.expirationSeconds", life_s, why))
    if life_s is not None and life_s > _LONGEST_LIFE_S:
        why = "may not specify a duration larger than 2^32 seconds"
        causes.append(invalid(f"{path}.expirationSeconds", life_s, why))
    return causes


def _items(source: Obj | None, path: str) -> Iterator[tuple[Obj, str]]:
    for index, item in enumerate((source or {}).get("items") or ()):
        yield item or {}, f"{path}.items[{index}]"


def _item(item: Obj, path: str, *, needs_key: bool) -> Iterator[Cause]:
    if needs_key and not item.get("key"):
        yield required(f"{path}.key")
    yield from _file(item.get("path"), path)


def _file(file: str | None, path: str) -> Iterator[Cause]:
    if not file:
        yield required(f"{path}.path")
    elif file.startswith("/"):
        yield invalid(f"{path}.path", file, "must be a relative path")
    elif ".." in file.split("/"):
        yield invalid(f"{path}.path", file, "must not contain '..'")


def _reference(item: Obj, path: str) -> Iterable[Cause]:
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        return () if field.get("fieldPath") else (required(f"{path}.fieldRef.fieldPath"),)
    if resource is None:
        return (required(path, "one of fieldRef and resourceFieldRef is required"),)
    return () if resource.get("resource") else (required(f"{path}.resourceFieldRef.resource"),)
