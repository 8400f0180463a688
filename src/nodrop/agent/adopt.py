"""After a restart: which containers and folders belong to no pod any more, and their end."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from signal import Signals

from nodrop.agent.folders import PodFolders
from nodrop.agent.notes import withdrawn_pods
from nodrop.agent.plan.termination import LEAST_AFTER_SIGNAL_S
from nodrop.agent.runtime.protocol import ContainerState, Runtime, RuntimeFailure

log = logging.getLogger(__name__)

_RETRY_S = 0.5


async def find_containers(runtime: Runtime) -> Mapping[str, list[ContainerState]]:
    """All containers by pod uid, asked for until the runtime answers."""
    complained = False
    while True:
        try:
            states = await runtime.list()
        except RuntimeFailure as failure:
            if not complained:
                log.warning("containers can't be listed: %s; asking again", failure)
            complained = True
            await asyncio.sleep(_RETRY_S)
            continue
        by_pod: defaultdict[str, list[ContainerState]] = defaultdict(list)
        for state in states:
            by_pod[state.pod_uid].append(state)
        return by_pod


async def recall_withdrawn(runtime: Runtime) -> set[str]:
    """Uids of the pods that an engine before this one has taken out of the traffic for good."""
    found = await find_containers(runtime)
    return withdrawn_pods(state for states in found.values() for state in states)


async def end_orphans(runtime: Runtime, orphans: Sequence[ContainerState]) -> None:
    """End containers whose pod is gone: SIGTERM, SIGKILL 2 s later, forgotten."""
    async with asyncio.TaskGroup() as group:
        for state in orphans:
            group.create_task(_end(runtime, state))


async def _end(runtime: Runtime, state: ContainerState) -> None:
    try:
        if state.exit is None:
            log.warning("ending container %s: its pod does not exist any more", state.id)
            await runtime.signal(state.id, Signals.SIGTERM)
            try:
                async with asyncio.timeout(LEAST_AFTER_SIGNAL_S):
                    await runtime.wait(state.id)
            except TimeoutError:
                await runtime.signal(state.id, Signals.SIGKILL)
                await runtime.wait(state.id)
        await runtime.remove(state.id)
    except RuntimeFailure as failure:  # the next start of the engine finds it again
        log.warning("container %s of a vanished pod was not ended: %s", state.id, failure)


def stray_folders(folders: PodFolders, pods: Collection[str]) -> list[str]:
    """Uids of pods that don't exist any more and have folders."""
    return [uid for uid in folders.known() if uid not in pods]


async def remove_folders(folders: PodFolders, uids: Iterable[str]) -> None:
    for uid in uids:
        await folders.remove(uid)
