"""The volumes of one pod: there before its first container starts, kept up to date after that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from nodrop.agent.facts import facts_of, lookup_of
from nodrop.agent.flag import Flag
from nodrop.agent.plan.command import expand
from nodrop.agent.plan.env import ConfigurationError
from nodrop.agent.plan.spec import DEFAULT_TERMINATION_PATH, Container
from nodrop.agent.plan.volumes import (
    Content,
    EmptyDir,
    Files,
    VolumeFailure,
    VolumeSources,
    plan_volume,
)
from nodrop.agent.pod_context import PodContext
from nodrop.agent.pod_tokens import PodTokens
from nodrop.agent.runtime.protocol import Mount
from nodrop.events import Reason
from nodrop.model.meta import Obj

log = logging.getLogger(__name__)

#: A path of the machine may appear without anybody telling.
_RETRY_S = 2.0
#: The wall clock may be set, or the machine may sleep: look at it now and then.
_LOOK_EVERY_S = 60.0


class PodVolumes:
    """``paths``: where each volume that is ready lives on this machine."""

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._paths: dict[str, str] = {}
        self._wake = Flag()
        self._tokens = PodTokens(pod)

    def wake(self) -> None:
        """A source may have changed: files that are mounted follow it."""
        self._wake.set()
        if self._paths:
            self.refresh()

    async def ready(self) -> bool:
        """Wait until all volumes are there; False when the pod ends first."""
        said = ""
        while not self._pod.terminating.is_set():
            self._wake.clear()
            failure = self.refresh()
            if failure is None:
                return True
            if str(failure) != said:
                await self._pod.emit("Warning", failure.reason, str(failure))
            said = str(failure)
            try:
                async with asyncio.timeout(_RETRY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
        return False

    def refresh(self) -> VolumeFailure | None:
        """Make every volume as it shall be now; the first failure, the rest is done."""
        first: VolumeFailure | None = None
        for index, volume in enumerate(self._pod.spec.volumes):
            try:
                self._paths[volume["name"]] = self._provide(volume, self._plan(volume, index))
            except VolumeFailure as failure:
                first = first or failure
            except OSError as error:
                first = first or VolumeFailure(f'volume "{volume["name"]}": {error}')
        return first

    async def keep_tokens(self) -> None:
        """Replace tokens before they end, until cancelled."""
        said = ""
        while True:
            when = self._tokens.next_renewal()
            left_s = (when - self._pod.host.clock.now()).total_seconds() if when else _LOOK_EVERY_S
            if left_s > 0:
                await asyncio.sleep(min(left_s, _LOOK_EVERY_S))
            elif failure := self.refresh():  # its account is gone: the token is worth nothing
                if str(failure) != said:
                    log.warning("pod %s: %s", self._pod, failure)
                said = str(failure)
                await asyncio.sleep(_LOOK_EVERY_S)

    def _plan(self, volume: Obj, index: int) -> Content:
        pod = self._pod
        try:
            sources = VolumeSources(pod.pod, facts_of(pod), lookup_of(pod), self._tokens.text)
            return plan_volume(volume, index, sources)
        except ConfigurationError as error:
            raise VolumeFailure(f"spec.volumes[{index}]: {error}", error.reason) from error

    def _provide(self, volume: Obj, content: Content) -> str:
        store, uid, name = self._pod.host.volumes, self._pod.uid, volume["name"]
        match content:
            case EmptyDir():
                return store.folder(uid, name)
            case Files(files):
                return store.write(uid, name, files, keep_old=self._has_sub_paths(name))
            case _:
                return store.host_path(content)

    def _has_sub_paths(self, volume: str) -> bool:
        return any(
            mount.volume == volume and (mount.sub_path or mount.sub_path_expr)
            for container in self._pod.spec.everyone
            for mount in container.mounts
        )

    def mounts(
        self, container: Container, attempt: int, values: Mapping[str, str]
    ) -> tuple[Mount, ...]:
        """What one run of a container gets mounted. Raises ConfigurationError.

        Where there is a mount, or the manifest names a path of its own, there is a file for the
        termination message too; other containers run without a mount namespace.
        """
        wanted = [self._mount(container, number, values) for number in range(len(container.mounts))]
        if wanted or container.termination_path != DEFAULT_TERMINATION_PATH:
            store = self._pod.host.volumes
            file = store.message_file(self._pod.uid, container.name, attempt)
            wanted.append(Mount(file, container.termination_path, read_only=False))
        return tuple(wanted)

    def _mount(self, container: Container, number: int, values: Mapping[str, str]) -> Mount:
        mount, field = container.mounts[number], f"{container.field}.volumeMounts[{number}]"
        if not mount.path.startswith("/"):
            raise ConfigurationError(
                f'{field}.mountPath: Invalid value: "{mount.path}": give an absolute path',
                Reason.UNSUPPORTED,
            )
        source = self._paths.get(mount.volume)
        if source is None:
            raise ConfigurationError(f'{field}: volume "{mount.volume}" is not ready')
        sub_path = mount.sub_path or expand(mount.sub_path_expr, values)
        try:
            if sub_path:
                source = self._pod.host.volumes.inside(source, sub_path)
        except VolumeFailure as failure:
            raise ConfigurationError(f"{field}.subPath: {failure}") from failure
        return Mount(source, mount.path, read_only=mount.read_only)
