"""ND7: fields against the API's own schema. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodrop.check.finding import Change, Hit, RenameKey
from nodrop.check.position import Path
from nodrop.check.rules.case import Case
from nodrop.check.source import Document
from nodrop.check.views import mapping
from nodrop.model.meta import Obj

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


RULES = {"ND701": unknown_field, "ND702": misplaced_field, "ND703": wrong_type}


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


def _renamed(document: Document, path: Path, name: str) -> tuple[Change, ...]:
    """A rename, unless the right name stands there too."""
    holder: object = document.obj
    for step in path[:-1]:
        if isinstance(step, int) and isinstance(holder, list):
            holder = holder[step]
        else:
            holder = mapping(holder).get(str(step))
    return () if name in mapping(holder) else (RenameKey(path, name),)
