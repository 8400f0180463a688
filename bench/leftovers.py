"""What a long run must not leave behind: processes, listening addresses, folders."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass, field

import psutil

from bench.engine import Engine
from nodrop.client.protocol import Scope
from nodrop.model.kinds import POD, SERVICE

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Things of pods that are no more, while the engine still runs."""

    processes: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.processes or self.addresses or self.folders)


async def leftovers_of(engine: Engine, timeout_s: float) -> Leftovers:
    """What is left once old pods have ended; waited for, because tidying follows the end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        found = await _look(engine)
        if not found.any or loop.time() >= deadline:
            return found
        await asyncio.sleep(_LOOK_S)


async def _look(engine: Engine) -> Leftovers:
    pods = (await engine.client.list(POD, Scope("default"))).items
    services = (await engine.client.list(SERVICE)).items
    info = engine.info
    network = ipaddress.ip_network(info["network"])
    known = {pod["status"].get("podIP") for pod in pods}
    known |= {service["spec"].get("clusterIP") for service in services}
    addresses = {
        address for address in _listening() if address in network and str(address) not in known
    }
    uids = {pod["metadata"]["uid"] for pod in pods}
    return Leftovers(
        processes=_of_no_pod(info["pids"]["keeper"], engine, len(pods)),
        addresses=sorted(map(str, addresses)),
        folders=sorted(path.name for path in engine.state.pods.iterdir() if path.name not in uids),
    )


def _listening() -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return {
        ipaddress.ip_address(connection.laddr[0])
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.status == psutil.CONN_LISTEN
    }


def _of_no_pod(keeper: int, engine: Engine, pods: int) -> list[str]:
    """The keeper's children beyond one a pod and the proxy's (soak pods have one process each)."""
    children = psutil.Process(keeper).children(recursive=True)
    proxies = set(engine.pids()["proxy"])
    others = [child for child in children if child.pid not in proxies]
    if len(others) <= pods:
        return []
    return sorted(filter(None, map(_name_of, others)))


def _name_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return f"{process.pid} {' '.join(process.cmdline())}"
    return ""


class Processes:
    """Every process that the engine was seen to run, told apart by pid and start."""

    def __init__(self) -> None:
        self._seen: set[psutil.Process] = set()

    def look(self, engine: Engine) -> None:
        pids = engine.info["pids"]
        keeper = psutil.Process(pids["keeper"])
        self._seen |= {psutil.Process(pids["engine"]), keeper, *keeper.children(recursive=True)}

    def alive(self) -> list[str]:
        """Those that still run: after the engine was ended, none may."""
        alive = (process for process in self._seen if process.is_running())
        return sorted(filter(None, map(_name_of, alive)))
