"""Exec probes: success when the command ends with 0."""

from __future__ import annotations

from nodrop.agent.plan.probes import ExecTarget
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.runtime.protocol import Runtime, RuntimeFailure


class ExecProber:
    """Runs the command beside the container, through its runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def probe(self, target: ExecTarget, *, timeout_s: float) -> ProbeResult:
        """A time-out is a failure; a runtime that can't run commands now is an error."""
        try:
            result = await self._runtime.exec(target.container, target.command, timeout_s=timeout_s)
        except TimeoutError:
            shown = " ".join(target.command)
            return ProbeResult("failure", f"command {shown!r} timed out after {timeout_s:g} s")
        except RuntimeFailure as failure:
            return ProbeResult("error", str(failure), answered=False)
        if result.code == 0:
            return SUCCESS
        said = result.output.decode(errors="replace").strip()
        return ProbeResult("failure", said or f"command ended with exit code {result.code}")
