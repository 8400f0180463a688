"""Selector strings, as they stand in URLs and on command lines: parsing and writing; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nodrop.model.errors import bad_request
from nodrop.model.meta import Requirement, Selector

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTENCE = re.compile(rf"(!?)\s*({_KEY})")
_IS_VALUE = re.compile(_VALUE)


def parse_label_selector(text: str) -> Selector:
    """Read ``a=b,c!=d,e in (x,y),f notin (z),g,!h``. Raises ApiError 400 when it can't be read."""
    return Selector(tuple(_requirement(clause) for clause in _clauses(text)))


def parse_field_selector(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``metadata.name=web,status.phase=Running`` into (path, value) pairs.

    Raises ApiError 400 for what is not such a pair, and for ``!=``, which ``Scope`` can't
    express. Which fields a kind can be selected by is the registry's to say.
    """
    return tuple(_field(clause) for clause in _clauses(text))


def format_label_selector(selector: Selector) -> str:
    """The string for ``selector``: the inverse of ``parse_label_selector``."""
    return ",".join(_format(requirement) for requirement in selector.requirements)


def format_field_selector(fields: Iterable[tuple[str, str]]) -> str:
    return ",".join(f"{path}={value}" for path, value in fields)


# Private


def _clauses(text: str) -> Iterator[str]:
    """Split at commas outside of parentheses; blank text has no clauses."""
    if not text.strip():
        return
    depth, start = 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def _requirement(clause: str) -> Requirement:
    if found := _SET.fullmatch(clause):
        key, word, listed = found.groups()
        values = tuple(value.strip() for value in listed.split(","))
        if all(_IS_VALUE.fullmatch(value) for value in values):
            return Requirement(key, "In" if word == "in" else "NotIn", values)
    elif found := _EQUALITY.fullmatch(clause):
        key, sign, value = found.groups()
        return Requirement(key, "NotIn" if sign == "!=" else "In", (value,))
    elif found := _EXISTENCE.fullmatch(clause):
        absent, key = found.groups()
        return Requirement(key, "DoesNotExist" if absent else "Exists")
    raise bad_request(f'unable to parse requirement: "{clause}" is not a label selector clause')


def _field(clause: str) -> tuple[str, str]:
    path, sign, value = clause.partition("=")
    path, value = path.strip(), value.removeprefix("=").strip()
    if not sign or not path:
        raise bad_request(f'invalid field selector: "{clause}" is not of the form field=value')
    if path.endswith("!"):
        raise bad_request(f'invalid field selector: "{clause}": operator != is not supported here')
    return path, value


def _format(requirement: Requirement) -> str:
    key, values = requirement.key, ",".join(requirement.values)
    match requirement.operator:
        case "In":
            return f"{key}={values}" if len(requirement.values) == 1 else f"{key} in ({values})"
        case "NotIn":
            return f"{key}!={values}" if len(requirement.values) == 1 else f"{key} notin ({values})"
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
