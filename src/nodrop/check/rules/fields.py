"""ND7: fields against the API's own schema. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodrop.check.finding import Change, Hit, RenameKey
from nodrop.check.position import Path
from nodrop.check.rules.case import Case
from nodrop.check.source import Document
from nodrop.check.views import mapping
from nodrop.model.defaults import apply_defaults
from nodrop.model.errors import Cause
from nodrop.model.kinds import Kind, kind_of
from nodrop.model.meta import Obj
from nodrop.model.validate import validate_create

_REQUIRED = "FieldValueRequired"
_NEAR = re.compile(r'did you mean "(.*)"\?')
_PLACE = re.compile(r'it belongs at "(.*)"')


def unknown_field(case: Case) -> Iterator[Hit]:
    for document, findings in case.compared:
        for field in findings.unknown:
            if _PLACE.match(field.hint):
                continue
            near = _NEAR.match(field.hint)
            path = path_of(field.path, document.obj)
            yield Hit(
                document=document,
                path=path,
                message=f"there is no field {field.path}; the API drops it, so it has no effect",
                mend=f'write "{near[1]}"' if near else "remove it, or see the API reference",
                fix=_renamed(document, path, near[1]) if near else (),
            )


def misplaced_field(case: Case) -> Iterator[Hit]:
    for document, findings in case.compared:
        for field in findings.unknown:
            if place := _PLACE.match(field.hint):
                yield Hit(
                    document=document,
                    path=path_of(field.path, document.obj),
                    message=f"there is no field {field.path}; the API drops it, so it has no "
                    "effect",
                    mend=f"write it at {place[1]}",
                )


def wrong_type(case: Case) -> Iterator[Hit]:
    for document, findings in case.compared:
        for wrong in findings.wrong_types:
            told, _, wanted = wrong.mend.rpartition(", it must be ")
            yield Hit(
                document=document,
                path=path_of(wrong.path, document.obj),
                message=f"{told}, which the API refuses",
                mend=f"give it {wanted}",
            )


def refused(case: Case) -> Iterator[Hit]:
    """What the API itself says about names, labels and fields that have to be there; other
    values that it refuses have rules of their own."""
    for document, findings in case.compared:
        kind = kind_of(document.obj["apiVersion"], document.obj["kind"])
        if kind is None or findings.wrong_types:
            continue
        for cause in _causes(document.obj, kind):
            if cause.field.startswith("metadata.") or cause.reason == _REQUIRED:
                yield Hit(
                    document=document,
                    path=_existing(path_of(cause.field, document.obj), document.obj),
                    message=f"the API refuses {cause.field}: {_sentence(cause.message)}",
                    mend="add it" if cause.reason == _REQUIRED else "give it another value",
                )


RULES = {
    "ND701": unknown_field,
    "ND702": misplaced_field,
    "ND703": wrong_type,
    "ND704": refused,
}


def path_of(path: str, obj: Obj) -> Path:
    """The steps of a path as the schema writes it; keys with dots in them are looked for.

    >>> path_of("metadata.labels.a.b/c", {"metadata": {"labels": {"a.b/c": 1}}})
    ('metadata', 'labels', 'a.b/c')
    """
    steps: list[str | int] = []
    here: object = obj
    rest = path
    while rest:
        if (item := re.match(r"\[(\d+)\]\.?", rest)) and isinstance(here, list):
            steps.append(int(item[1]))
            here = here[int(item[1])] if int(item[1]) < len(here) else None
            rest = rest[item.end() :]
            continue
        keys = [
            key for key in mapping(here) if rest == key or rest.startswith((f"{key}.", f"{key}["))
        ]
        key = max(keys, key=len, default=re.split(r"[.\[]", rest, maxsplit=1)[0] or rest)
        steps.append(key)
        here, rest = mapping(here).get(key), rest[len(key) :].removeprefix(".")
        if not key:
            break
    return tuple(steps)


# Private


def _causes(obj: Obj, kind: Kind) -> list[Cause]:
    """Why the API would refuse to create the object, in the default namespace if in none."""
    whole = obj
    if kind.namespaced:
        whole = {**obj, "metadata": {"namespace": "default", **mapping(obj.get("metadata"))}}
    return validate_create(apply_defaults(whole))


def _existing(path: Path, obj: Obj) -> Path:
    """The part of a path that is in the object: what is missing has no place of its own."""
    here: object = obj
    for number, step in enumerate(path):
        if isinstance(here, dict) and step in here:
            here = here[step]
            continue
        if not (isinstance(here, list) and isinstance(step, int) and step < len(here)):
            return path[:number]
        here = here[step]
    return path


def _sentence(message: str) -> str:
    """Upstream's words for people: the value is in sight, and so is the rule without its regex."""
    return message.partition(" (e.g. ")[0]


def _renamed(document: Document, path: Path, name: str) -> tuple[Change, ...]:
    """A rename, unless the right name stands there too."""
    holder: object = document.obj
    for step in path[:-1]:
        if isinstance(step, int) and isinstance(holder, list):
            holder = holder[step]
        else:
            holder = mapping(holder).get(str(step))
    return () if name in mapping(holder) else (RenameKey(path, name),)
