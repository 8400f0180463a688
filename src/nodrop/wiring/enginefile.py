"""engine.json: where the engine can be reached and which processes it consists of."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable, Mapping

import nodrop
from nodrop.keeper.proc import start_ticks
from nodrop.keeper.protocol import Keeper, KeeperFailure, ProcessRecord
from nodrop.model.meta import Obj
from nodrop.proxy.haproxy.processes import GENERATION, MAIN, PROGRAM, ROLE
from nodrop.proxy.layer import ProxyLayer
from nodrop.proxy.protocol import Applied, Proxy, RoutingTable
from nodrop.statedir import StateDir
from nodrop.store.migrations import SCHEMA_VERSION
from nodrop.wiring.files import write_atomically
from nodrop.wiring.listening import IngressSockets

log = logging.getLogger(__name__)

_RETRY_S = 1.0
#: The variable that says when an engine whose keeper had been killed became this one.
STARTED_AGAIN = "NODROP_STARTED_AGAIN"


class EngineFile:
    """Keeps engine.json true: written at the start, and again when a proxy was replaced."""

    def __init__(
        self,
        state: StateDir,
        keeper: Keeper,
        *,
        api: tuple[str, int],
        ingress: IngressSockets,
        started_again: str = "",
    ) -> None:
        self._state = state
        self._keeper = keeper
        self._api = api
        self.ingress = ingress
        self._started_again = started_again
        self.adopted, self.adopted_pods = False, 0
        self._ending = False
        self.replacements, self.replacement_failure = 0, ""

    async def write(self) -> Obj:
        """Write what holds now; returns it."""
        found = await self._read()
        write_atomically(self._state.engine_json, json.dumps(found, indent=2).encode())
        return found

    async def tell_ending(self) -> None:
        """Say that everything is being ended: who would use this engine waits for the next."""
        self._ending = True
        try:
            await self.write()
        except (OSError, KeeperFailure) as failure:
            log.warning("engine.json does not tell that the engine is ending: %s", failure)

    async def keep(self, changed: asyncio.Event) -> None:
        """Write again whenever ``changed`` is set, until cancelled."""
        while True:
            await changed.wait()
            changed.clear()
            try:
                await self.write()
            except (OSError, KeeperFailure) as failure:
                log.warning("engine.json was not written: %s; trying again", failure)
                await asyncio.sleep(_RETRY_S)
                changed.set()

    async def _read(self) -> Obj:
        info = await self._keeper.info()
        proxies = [record for record in await self._keeper.list() if ROLE in record.labels]
        host, port = self._api
        return {
            "api": {"url": f"https://{host}:{port}", "port": port},
            "http": {
                "urls": _urls("http", self.ingress.http),
                "ports": [self.ingress.http_port],
                "hint": self.ingress.hint,
            },
            "https": {
                "urls": _urls("https", self.ingress.https),
                "ports": [self.ingress.https_port],
            },
            "pids": {
                "engine": os.getpid(),
                "keeper": info.pid,
                "proxy": sorted(p.pid for p in proxies if p.exit_code is None),
            },
            # Tells this process from a later one that has got the same pid.
            "start_ticks": start_ticks(os.getpid()),
            "started_again": self._started_again,
            "adopted": self.adopted,
            "adopted_pods": self.adopted_pods,
            "ending": self._ending,
            "proxy": {
                "program": _program_of(proxies),
                "replacements": self.replacements,
                "failure": self.replacement_failure,
            },
            "versions": {
                "nodrop": nodrop.__version__,
                "keeper_protocol": info.protocol,
                "store": SCHEMA_VERSION,
            },
            "state": str(self._state.root),
            "kubeconfig": str(self._state.kubeconfig),
            "network": f"127.{info.network}.0.0/16",
        }


def disown_earlier(state: StateDir) -> None:
    """Have nobody take what this process wrote before it started again for what holds now.

    An engine whose keeper was lost keeps its pid and its start time, and nothing else.
    """
    try:
        found = json.loads(state.engine_json.read_bytes())
        if found["pids"]["engine"] == os.getpid():
            write_atomically(state.engine_json, json.dumps({**found, "start_ticks": 0}).encode())
    except (OSError, ValueError, LookupError, TypeError):
        pass  # there is none, or one that nobody takes for anything


class AnnouncedProxy(ProxyLayer):
    """A Proxy that sets ``changed`` when one of its processes was started or replaced."""

    def __init__(self, proxy: Proxy, changed: asyncio.Event) -> None:
        super().__init__(proxy)
        self._changed = changed

    async def apply(self, table: RoutingTable) -> Applied:
        applied = await self._proxy.apply(table)
        if applied.reloads:
            self._changed.set()
        return applied


def _program_of(proxies: Iterable[ProcessRecord]) -> str:
    """Which HAProxy serves: the youngest main's."""
    mains = [p for p in proxies if p.exit_code is None and p.labels[ROLE] == MAIN]
    if not mains:
        return ""
    return max(mains, key=lambda p: int(p.labels[GENERATION])).labels.get(PROGRAM, "")


def _urls(scheme: str, places: Mapping[str, tuple[str, int]]) -> list[str]:
    return [f"{scheme}://{_in_url(host)}:{port}" for host, port in places.values()]


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
