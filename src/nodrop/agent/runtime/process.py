"""ProcessRuntime: containers as processes under the keeper."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from signal import Signals

from nodrop.agent.notes import SIGNALLED
from nodrop.agent.runtime.protocol import (
    ContainerId,
    ContainerSpec,
    ContainerState,
    ExecResult,
    Exit,
    RuntimeFailure,
)
from nodrop.clock import Clock, SystemClock
from nodrop.keeper.protocol import BindMount, Keeper, KeeperFailure, ProcessRecord, ProcessSpec

#: The keeper also runs proxies: these labels tell which of its processes are containers.
POD_UID_LABEL = "nodrop.dev/pod-uid"
CONTAINER_LABEL = "nodrop.dev/container"
BIND_ERROR_NOTE = "wildcardBindError"
"""Note of a ContainerState: why the kernel refused to move wildcard binds."""

_UNKNOWN_CODE = 137


class ProcessRuntime:
    """Implements Runtime over a Keeper; every KeeperFailure becomes a RuntimeFailure."""

    def __init__(self, keeper: Keeper, clock: Clock | None = None) -> None:
        self._keeper = keeper
        self._clock: Clock = clock or SystemClock()

    async def start(self, spec: ContainerSpec) -> ContainerState:
        # The sentence goes to people as it is: it names the program or the folder.
        try:
            record = await self._keeper.start(_process(spec))
        except KeeperFailure as failure:
            raise RuntimeFailure(str(failure)) from failure
        return _state(record)

    async def wait(self, container: ContainerId) -> Exit:
        try:
            return _exit(await self._keeper.wait(container))
        except KeeperFailure as failure:
            if failure.code == "ESRCH":
                return Exit(_UNKNOWN_CODE, self._clock.now(), known=False)
            raise RuntimeFailure(f"waiting for container {container}: {failure}") from failure

    async def signal(self, container: ContainerId, signal: int) -> None:
        async with _attempt(
            f"sending signal {int(signal)} to container {container}", absent_is_fine=True
        ):
            await self._keeper.signal(container, signal, tree=signal == Signals.SIGKILL)

    async def exec(
        self, container: ContainerId, command: Sequence[str], *, timeout_s: float | None
    ) -> ExecResult:
        try:
            code, output = await self._keeper.exec(container, command, timeout_s=timeout_s)
        except KeeperFailure as failure:
            if failure.code == "ETIMEDOUT":
                raise TimeoutError(str(failure)) from failure
            raise RuntimeFailure(f"exec in container {container}: {failure}") from failure
        return ExecResult(code, output)

    async def note(self, container: ContainerId, key: str, value: str) -> None:
        async with _attempt(f"noting {key} of container {container}"):
            await self._keeper.note(container, key, value)

    async def list(self, pod_uid: str | None = None) -> list[ContainerState]:
        async with _attempt("listing containers"):
            records = await self._keeper.list()
        return [
            _state(record)
            for record in records
            if POD_UID_LABEL in record.labels and pod_uid in (None, record.labels[POD_UID_LABEL])
        ]

    async def remove(self, container: ContainerId) -> None:
        async with _attempt(f"removing container {container}", absent_is_fine=True):
            await self._keeper.remove(container)


@asynccontextmanager
async def _attempt(what: str, *, absent_is_fine: bool = False) -> AsyncIterator[None]:
    try:
        yield
    except KeeperFailure as failure:
        if absent_is_fine and failure.code == "ESRCH":
            return
        raise RuntimeFailure(f"{what}: {failure}") from failure


def _process(spec: ContainerSpec) -> ProcessSpec:
    labels = {**spec.labels, POD_UID_LABEL: spec.pod_uid, CONTAINER_LABEL: spec.name}
    return ProcessSpec(
        id=spec.id,
        argv=spec.argv,
        env=spec.env,
        cwd=spec.cwd,
        log=spec.log_path,
        bind_ip=spec.pod_ip,
        labels=labels,
        stdin=spec.stdin,
        stdin_once=spec.stdin_once,
        tty=spec.tty,
        mounts=[BindMount(m.source, m.target, m.read_only) for m in spec.mounts],
    )


def _state(record: ProcessRecord) -> ContainerState:
    notes = dict(record.notes)
    if record.bind_error:
        notes[BIND_ERROR_NOTE] = record.bind_error
    if record.signals:  # the keeper wrote it down with the signal: the engine may have died then
        notes.setdefault(SIGNALLED, _time(record.signals[0][1]).isoformat())
    return ContainerState(
        id=ContainerId(record.id),
        pod_uid=record.labels[POD_UID_LABEL],
        name=record.labels[CONTAINER_LABEL],
        pid=record.pid,
        started_at=_time(record.started_at),
        exit=None if record.exit_code is None else _exit(record),
        notes=notes,
        wildcard_bind=record.bind_redirect,
    )


def _exit(record: ProcessRecord) -> Exit:
    assert record.exit_code is not None
    assert record.exited_at is not None
    return Exit(record.exit_code, _time(record.exited_at), known=record.known)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
