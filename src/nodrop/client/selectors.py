"""Selector strings, as they stand in URLs and on command lines: parsing and writing; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from nodrop.model.errors import bad_request
from nodrop.model.meta import Requirement, Selector

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTENCE = re.compile(rf"(!?)\s*({_KEY})")
_FIELD = re.compile(r"([A-Za-z][\w.]*)\s*(==|=|!=)\s*([^=!]*)")
_IS_VALUE = re.compile(_VALUE)


def parse_label_selector(text: str) -> Selector:
    """Read ``a=b,c!=d,e in (x,y),f notin (z),g,!h``. Raises ApiError 400 when it can't be read."""
    return Selector(tuple(_requirement(clause) for clause in _clauses(text)))


class Fields(NamedTuple):
    """A field selector: (path, value) pairs that must be equal, and ones that must not."""

    equal: tuple[tuple[str, str], ...] = ()
    unequal: tuple[tuple[str, str], ...] = ()


def parse_field_selector(text: str) -> Fields:
    """Read ``metadata.name=web,status.phase!=Running``. Raises ApiError 400.

    Which fields a kind can be selected by is the registry's to say.
    """
    equal: list[tuple[str, str]] = []
    unequal: list[tuple[str, str]] = []
    for clause in _clauses(text):
        found = _FIELD.fullmatch(clause)
        if not found:
            raise bad_request(
                f'invalid field selector: "{clause}" is neither field=value nor field!=value'
            )
        path, sign, value = found.groups()
        (unequal if sign == "!=" else equal).append((path, value))
    return Fields(tuple(equal), tuple(unequal))


def format_label_selector(selector: Selector) -> str:
    """The string for ``selector``: the inverse of ``parse_label_selector``."""
    return ",".join(_format(requirement) for requirement in selector.requirements)


def format_field_selector(fields: Fields) -> str:
    """The string for ``fields``: the inverse of ``parse_field_selector``."""
    return ",".join(
        [f"{path}={value}" for path, value in fields.equal]
        + [f"{path}!={value}" for path, value in fields.unequal]
    )


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
