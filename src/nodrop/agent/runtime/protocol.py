"""The Runtime protocol: start, watch, signal and adopt containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType, Protocol

ContainerId = NewType("ContainerId", str)
"""``<pod uid>_<container name>_<restart count>``: known before the start, so that a lost answer
to ``start`` can't leave a second copy."""


class RuntimeFailure(Exception):
    """The runtime could not do what was asked; the message names what and on what."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine that the container finds at ``target``."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """All that a runtime needs to start one container."""

    id: ContainerId
    pod_uid: str
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    pod_ip: str
    log_path: str
    labels: Mapping[str, str] = field(default_factory=dict)  # namespace, pod, … for people
    mounts: tuple[Mount, ...] = ()
    stdin: bool = False  # it has an input that clients can attach to, else an empty one
    stdin_once: bool = False  # which ends with the first of them
    tty: bool = False  # input and output are a terminal


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended. ``code`` is 128 + signal number when a signal ended it.

    ``known`` is False when nobody saw the end (keeper lost): upstream's
    ContainerStatusUnknown, code 137.
    """

    code: int
    at: datetime
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One container as the runtime knows it, running or ended, for adoption."""

    id: ContainerId
    pod_uid: str
    name: str
    pid: int
    started_at: datetime
    exit: Exit | None
    notes: Mapping[str, str]
    wildcard_bind: bool  # True when binds of 0.0.0.0 land on the pod's own address


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The end of a command run beside a container. ``output`` is stdout and stderr, ≤ 10 KiB."""

    code: int
    output: bytes


class Runtime(Protocol):
    """Runs containers that outlive the control plane. Failures raise RuntimeFailure."""

    async def start(self, spec: ContainerSpec) -> ContainerState:
        """Start a container; if one with this id exists already, return that one.

        Raises RuntimeFailure when the program can't be executed (missing, not executable,
        bad working folder); the message is fit for the container's ``state.waiting.message``.
        """
        ...

    async def wait(self, container: ContainerId) -> Exit:
        """Wait for the main process to end. Several may wait. Unknown id → Exit(known=False)."""
        ...

    async def signal(self, container: ContainerId, signal: int) -> None:
        """Send to the main process; SIGKILL goes to the whole tree, setsid children included.

        A container that has ended is not an error.
        """
        ...

    async def exec(
        self, container: ContainerId, command: Sequence[str], *, timeout_s: float | None
    ) -> ExecResult:
        """Run a command with the container's environment and folder, no shell.

        Raises TimeoutError (the command's tree is killed) or RuntimeFailure.
        """
        ...

    async def note(self, container: ContainerId, key: str, value: str) -> None:
        """Remember a fact beside the container (``preStop``: ``done``), across restarts of ours."""
        ...

    async def list(self, pod_uid: str | None = None) -> list[ContainerState]:
        """All containers known (of one pod if given), ended ones included until ``remove``."""
        ...

    async def remove(self, container: ContainerId) -> None:
        """Forget an ended container. Its log file stays; the agent deletes logs with the pod."""
        ...
