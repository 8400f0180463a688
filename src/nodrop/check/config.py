"""Settings from ``nodrop.toml`` (table ``check``) or pyproject.toml (``tool.nodrop.check``)."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodrop.check.catalogue import CATALOGUE
from nodrop.check.finding import BOTH, CLUSTER, LEVELS, NODROP, Target
from nodrop.check.settings import Settings

#: What ``target`` may be.
TARGETS: dict[str, frozenset[Target]] = {"nodrop": NODROP, "cluster": CLUSTER, "both": BOTH}


class BadConfig(Exception):
    """A setting can't be used; the message names file, key, value and what would be right."""


def find_config(folder: Path) -> Path | None:
    """The nearest configuration in ``folder`` or above it."""
    for place in (folder, *folder.parents):
        if (own := place / "nodrop.toml").is_file():
            return own
        project = place / "pyproject.toml"
        if project.is_file() and _table(project, ("tool", "nodrop", "check")) is not None:
            return project
    return None


def read_config(file: Path) -> Settings:
    """Raises BadConfig."""
    if not file.is_file():
        raise BadConfig(f"{file}: no such file")
    own = file.name != "pyproject.toml"
    if own and (extra := set(_toml(file)) - {"check"}):
        raise BadConfig(f"{file}: unknown table {sorted(extra)[0]}: only [check] is known")
    table = _table(file, ("check",) if own else ("tool", "nodrop", "check"))
    return settings_from(table or {}, str(file))


def settings_from(table: dict[str, Any], where: str, base: Settings | None = None) -> Settings:
    """``base`` with what a table says; keys are the long options. Raises BadConfig.

    >>> settings_from({"propagation-s": 8}, "nodrop.toml").propagation_s
    8.0
    """
    settings = base or Settings()
    for key, value in table.items():
        reader = _READERS.get(key)
        if reader is None:
            near = difflib.get_close_matches(key, _READERS, n=1)
            mend = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(_READERS)}"
            raise BadConfig(f"{where}: unknown key {key}: {mend}")
        try:
            change: dict[str, Any] = {_FIELDS.get(key, _field(key)): reader(value)}
        except ValueError as error:
            raise BadConfig(f"{where}: {key}: {value!r}: {error}") from error
        settings = replace(settings, **change)
    return settings


# Private

_FIELDS = {"target": "targets"}


def _field(key: str) -> str:
    return key.replace("-", "_")


def _target(value: object) -> frozenset[Target]:
    if not isinstance(value, str) or value not in TARGETS:
        raise ValueError("must be nodrop, cluster or both")
    return TARGETS[value]


def _level(value: object) -> str:
    if value not in LEVELS:
        raise ValueError("must be error, warning or info")
    return str(value)


def rule_ids(value: object) -> tuple[str, ...]:
    """Rule ids or beginnings of some, such as ``ND3``. Raises ValueError for others."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError('must be a list of rule ids such as ["ND301"]')
    for one in value:
        if not one or not any(rule.startswith(one) for rule in CATALOGUE):
            raise ValueError(f"{one!r} is no rule and no beginning of one (ND101 to ND704)")
    return tuple(value)


def _per_path(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError('must be a table such as {"tests/*" = ["ND301"]}')
    return {str(pattern): rule_ids(rules) for pattern, rules in value.items()}


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ValueError("must be a number of seconds, 0 or more")
    return float(value)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError("must be a share between 0 and 1, such as 0.7")
    return float(value)


_READERS: dict[str, Callable[[object], Any]] = {
    "target": _target,
    "fail-on": _level,
    "select": rule_ids,
    "ignore": rule_ids,
    "per-path-ignores": _per_path,
    "propagation-s": _seconds,
    "longest-request-s": _seconds,
    "start-up-s": _seconds,
    "peak-utilisation": _share,
}


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadConfig(f"{file}: {error}") from error


def _table(file: Path, path: tuple[str, ...]) -> dict[str, Any] | None:
    found: object = _toml(file)
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    if found is not None and not isinstance(found, dict):
        raise BadConfig(f"{file}: {'.'.join(path)} must be a table")
    return found
