"""TCP probes: success when a connection can be opened."""

from __future__ import annotations

import asyncio

from nodrop.agent.plan.probes import TcpTarget
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.probers.wording import is_refused, transport_failure


class TcpProber:
    """Connects and closes."""

    async def probe(self, target: TcpTarget, *, timeout_s: float) -> ProbeResult:
        host = f"[{target.host}]" if ":" in target.host else target.host
        where = f"{host}:{target.port}"
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(target.host, target.port)
        except TimeoutError:
            return ProbeResult("failure", f"dial tcp {where}: i/o timeout", answered=False)
        except OSError as error:
            why, refused = transport_failure(error, where), is_refused(error)
            return ProbeResult("failure", why, answered=False, refused=refused)
        writer.close()
        return SUCCESS
