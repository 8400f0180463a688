"""TCP probes: success when a connection can be opened."""

from __future__ import annotations

import asyncio

from nodrop.agent.plan.probes import TcpTarget
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult


class TcpProber:
    """Connects and closes."""

    async def probe(self, target: TcpTarget, *, timeout_s: float) -> ProbeResult:
        where = f"{target.host}:{target.port}"
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(target.host, target.port)
        except TimeoutError:
            message = f"dial tcp {where}: no answer within {timeout_s:g} s"
            return ProbeResult("failure", message, answered=False)
        except OSError as error:
            return ProbeResult("failure", f"dial tcp {where}: {error}", answered=False)
        writer.close()
        return SUCCESS
