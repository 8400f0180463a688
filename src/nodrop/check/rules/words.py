"""Command lines as words: shells taken off, inits skipped, options read. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh"})
#: Small first processes that pass signals on and reap what is left.
INITS = frozenset({"tini", "tini-static", "dumb-init", "catatonit", "pid1", "docker-init"})
_JOINTS = re.compile(r"&&|\|\||[;|&\n]")


def program(word: str) -> str:
    """The program's name without its folder."""
    return word.rsplit("/", 1)[-1]


def split(script: str) -> tuple[str, ...]:
    """A shell script's words; roughly, where its quotes are odd."""
    try:
        return tuple(shlex.split(script, comments=True))
    except ValueError:
        return tuple(script.split())


def script_of(command: Sequence[str]) -> tuple[int, str] | None:
    """(number of the word, script) of ``sh -c SCRIPT``, or None if it is no such command."""
    if len(command) < 3 or program(command[0]) not in SHELLS:
        return None
    for index, word in enumerate(command[1:-1], start=1):
        if not word.startswith("-"):
            return None
        if not word.startswith("--") and word.endswith("c"):
            return index + 1, command[index + 1]
    return None


def is_single(script: str) -> bool:
    """Whether a script is one simple command that ``exec`` could stand before."""
    body = script.strip()
    quoted = re.sub(r"'[^']*'|\"[^\"]*\"", "Q", body)
    if _JOINTS.search(quoted) or re.search(r"[(){}`]|\$\(|<<", quoted):
        return False
    return bool(re.match(r"[\w./-]", body)) and "=" not in body.split()[0]


def last_command(script: str) -> tuple[str, ...]:
    """The words of the last command of a script."""
    lines = [line for line in re.split(r"&&|\|\||[;\n]", script) if line.strip()]
    return split(lines[-1].strip()) if lines else ()


def unwrapped(command: Sequence[str]) -> tuple[str, ...]:
    """The program that serves: behind ``sh -c``, ``exec``, an init, ``env A=b`` and runners."""
    found = tuple(command)
    for _ in range(6):
        if (script := script_of(found)) is not None:
            found = last_command(script[1])
        elif found and program(found[0]) in INITS | {"exec", "env", "nice", "chpst", "gosu"}:
            skipped = 2 if program(found[0]) == "gosu" else 1
            rest = found[skipped:]
            while rest and (rest[0].startswith("-") or "=" in rest[0]):
                rest = rest[1:]
            found = rest
        elif len(found) > 2 and [program(found[0]), found[1]] in (
            ["poetry", "run"],
            ["pipenv", "run"],
            ["uv", "run"],
            ["bundle", "exec"],
        ):
            found = found[2:]
        else:
            break
    if len(found) > 2 and program(found[0]).startswith("python") and found[1] == "-m":
        found = found[2:]
    return found


def option(command: Sequence[str], *names: str) -> str | None:
    """The value of the first of these options: ``--name value`` or ``--name=value``."""
    for index, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name in names:
            if equals:
                return value
            return command[index + 1] if index + 1 < len(command) else ""
    return None


def number(value: str | None) -> float | None:
    """A count of seconds as an option gives it."""
    try:
        found = float((value or "").removesuffix("s"))
    except ValueError:
        return None
    return found if 0 <= found < 1e9 else None
