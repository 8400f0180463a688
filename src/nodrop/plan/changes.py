"""What differs between two Deployments, field by field; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nodrop.model.meta import Obj

#: Written by the machinery, not by people.
_OURS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/",
)
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field. ``old`` or ``new`` is None where it isn't set."""

    path: str
    old: str | None
    new: str | None

    @property
    def of_template(self) -> bool:
        """Whether it makes new pods necessary."""
        return self.path.startswith("spec.template.")

    def __str__(self) -> str:
        if self.old is None:
            return f"{self.path}: {self.new} (new)"
        return f"{self.path}: {self.old} → {'(removed)' if self.new is None else self.new}"


def diff_objects(old: Obj | None, new: Obj) -> tuple[FieldChange, ...]:
    """Labels, annotations and spec that differ, in the order of the fields."""
    if old is None:
        return ()
    return tuple(_differences("", _wanted(old), _wanted(new)))


# Private


def _wanted(obj: Obj) -> Obj:
    meta = obj["metadata"]
    kept = {
        "labels": meta.get("labels") or {},
        "annotations": _people_s(meta.get("annotations") or {}),
    }
    return {"metadata": kept, "spec": obj.get("spec") or {}}


def _people_s(annotations: Obj) -> Obj:
    return {key: value for key, value in annotations.items() if not key.startswith(_OURS)}


def _differences(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(_below(path, key), old.get(key), new.get(key))
    elif _is_named(old) and _is_named(new):
        before, after = _by_name(old), _by_name(new)
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(f"{path}[{name}]", before.get(name), after.get(name))
    else:
        yield FieldChange(path, _shown(old), _shown(new))


def _below(path: str, key: str) -> str:
    plain = key.replace("_", "").replace("-", "").isalnum()
    if not path:
        return key
    return f"{path}.{key}" if plain else f"{path}[{key}]"


def _is_named(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    names = [one.get("name") if isinstance(one, dict) else None for one in value]
    return all(names) and len(set(names)) == len(names)


def _by_name(items: list[Obj]) -> dict[str, Obj]:
    return {one["name"]: one for one in items}


def _shown(value: Any) -> str | None:
    """A value on one line; a long one is cut."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, separators=(", ", ": "))
    text = " ".join(text.split()) or '""'
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
