"""Typed reading of pod specs, whatever odd values a manifest holds. Pure.

A value of the wrong type is read as if it were absent: ND703 reports it, and every other rule
can go on.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nodrop.check.position import Path
from nodrop.model.meta import Obj

DEFAULT_GRACE_S = 30


def mapping(value: Any) -> Obj:
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[tuple[int, Obj]]:
    """The mappings of a list with their numbers."""
    return [
        (index, one)
        for index, one in enumerate(value if isinstance(value, list) else ())
        if isinstance(one, dict)
    ]


def dig(obj: Any, *steps: str) -> Any:
    """The value under nested mappings, or None."""
    for step in steps:
        obj = mapping(obj).get(step)
    return obj


def whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def words(value: Any) -> tuple[str, ...]:
    """A list of strings; numbers and the like, which the API refuses, as they are written."""
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def string_map(value: Any) -> dict[str, str]:
    return {key: one for key, one in mapping(value).items() if isinstance(one, str)}


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe with its defaults (0 counts as unset, as upstream reads it)."""

    name: str
    path: Path
    obj: Obj

    def _positive(self, field: str, default: int) -> int:
        found = whole(self.obj.get(field), default)
        return found if found > 0 else default

    @property
    def period_s(self) -> int:
        return self._positive("periodSeconds", 10)

    @property
    def timeout_s(self) -> int:
        return self._positive("timeoutSeconds", 1)

    @property
    def failures(self) -> int:
        return self._positive("failureThreshold", 3)

    @property
    def initial_delay_s(self) -> int:
        return self._positive("initialDelaySeconds", 0)

    @property
    def withdraw_s(self) -> int:
        """How long the probe may fail before it has an effect: period × threshold."""
        return self.period_s * self.failures

    @property
    def first_kill_s(self) -> int:
        """When a container that never answers is seen as failed, from its start.

        Probes come every period from the start on; those within the initial delay are skipped.
        Delay 15, period 10, threshold 3: probes at 20, 30 and 40, so 40.
        """
        first = -(-self.initial_delay_s // self.period_s) * self.period_s
        return first + (self.failures - 1) * self.period_s

    @property
    def asked(self) -> Obj:
        """Just what is asked, without timing and headers."""
        return {
            name: {key: value for key, value in self.obj[name].items() if key != "httpHeaders"}
            for name in ("httpGet", "tcpSocket", "exec", "grpc")
            if isinstance(self.obj.get(name), dict)
        }


@dataclass(frozen=True, slots=True)
class Port:
    """A declared port."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Container:
    """A container and where it stands."""

    path: Path
    obj: Obj

    @property
    def name(self) -> str:
        return text(self.obj.get("name"))

    @property
    def image(self) -> str:
        return text(self.obj.get("image"))

    @property
    def command(self) -> tuple[str, ...]:
        return words(self.obj.get("command"))

    @property
    def words(self) -> tuple[str, ...]:
        """The whole command line that the manifest shows, empty if the image has it."""
        return self.command + words(self.obj.get("args"))

    @property
    def ports(self) -> tuple[Port, ...]:
        return tuple(
            Port(text(port.get("name")), whole(port.get("containerPort"), 0))
            for _, port in mappings(self.obj.get("ports"))
        )

    @property
    def env(self) -> dict[str, str]:
        return {
            text(one.get("name")): text(one.get("value"))
            for _, one in mappings(self.obj.get("env"))
        }

    def probe(self, name: str) -> Probe | None:
        found = self.obj.get(name)
        return Probe(name, (*self.path, name), found) if isinstance(found, dict) else None

    @property
    def pre_stop(self) -> Obj:
        return mapping(dig(self.obj, "lifecycle", "preStop"))

    @property
    def pre_stop_path(self) -> Path:
        return (*self.path, "lifecycle", "preStop")

    @property
    def stop_signal(self) -> str:
        return text(dig(self.obj, "lifecycle", "stopSignal"))


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's spec and where it stands."""

    path: Path
    spec: Obj

    @property
    def containers(self) -> tuple[Container, ...]:
        return tuple(self._containers("containers"))

    @property
    def everyone(self) -> tuple[Container, ...]:
        return tuple(
            container
            for field in ("containers", "initContainers")
            for container in self._containers(field)
        )

    @property
    def grace_s(self) -> int:
        return whole(self.spec.get("terminationGracePeriodSeconds"), DEFAULT_GRACE_S)

    @property
    def grace_path(self) -> Path:
        return (*self.path, "terminationGracePeriodSeconds")

    def _containers(self, field: str) -> Iterator[Container]:
        for index, one in mappings(self.spec.get(field)):
            yield Container((*self.path, field, index), one)


def hook_length_s(hook: Obj) -> float | None:
    """How long a hook surely takes: a ``sleep`` action, or a command that is just ``sleep N``.

    A script that begins with such a sleep takes at least that long, which says enough:

    >>> hook_length_s({"exec": {"command": ["sh", "-c", "sleep 5 && nginx -s quit"]}})
    5.0
    """
    seconds = dig(hook, "sleep", "seconds")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return float(seconds)
    command = list(words(dig(hook, "exec", "command")))
    if len(command) == 3 and _program(command[0]) in {"sh", "bash", "ash", "dash"}:
        command = _split(command[2]) if command[1].lstrip("-").endswith("c") else []
    if len(command) < 2 or _program(command[0]) != "sleep":
        return None
    try:
        found = float(command[1].rstrip(";&").removesuffix("s"))
    except ValueError:
        return None
    return found if 0 <= found < 1e9 else None


def _program(word: str) -> str:
    return word.rsplit("/", 1)[-1]


def _split(script: str) -> list[str]:
    try:
        return shlex.split(script)
    except ValueError:
        return script.split()
