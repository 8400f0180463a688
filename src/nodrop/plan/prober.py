"""A prober for plans: it answers as the simulated applications do, and only when that is news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodrop.agent.plan.probes import ExecTarget, GrpcTarget, HttpTarget, Target, TcpTarget, Unusable
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.sim.runtime import App

#: How long an answer takes.
_ANSWER_S = 0.003


class PlanProber:
    """See agent.probers.protocol.Prober. ``app_at`` finds the program at an address, ``app_of``
    a container; ``is_news`` says whether an answer of an app can still change anything.

    An answer that can't is left out: whoever asks waits until the app has ended. With 10,000
    pods and a probe a second almost all answers are of that kind.
    """

    def __init__(
        self,
        *,
        app_at: Callable[[str], App | None],
        app_of: Callable[[str], App | None],
        is_news: Callable[[App, bool], bool],
        hook_s: Callable[[Target], float],
    ) -> None:
        self._app_at = app_at
        self._app_of = app_of
        self._is_news = is_news
        self._hook_s = hook_s

    async def probe(self, target: Target, *, timeout_s: float) -> ProbeResult:
        match target:
            case Unusable(why):
                return ProbeResult("failure", why, answered=False)
            case ExecTarget(container=container):
                return await self._ask(self._app_of(container), target, timeout_s)
            case HttpTarget(host=host) | TcpTarget(host=host) | GrpcTarget(host=host):
                return await self._ask(self._app_at(host), target, timeout_s)

    async def _ask(self, app: App | None, target: Target, timeout_s: float) -> ProbeResult:
        took_s = self._hook_s(target)
        if took_s:
            await asyncio.sleep(min(took_s, timeout_s))
            if took_s > timeout_s:
                return ProbeResult("failure", f"no answer within {timeout_s:g} s", answered=False)
            return SUCCESS
        serves = app is not None and app.serves(asyncio.get_running_loop().time())
        if app is not None and app.running and not self._is_news(app, serves):
            await app.ended.wait()
            serves = False
        if serves:
            await asyncio.sleep(min(_ANSWER_S, timeout_s))
            return SUCCESS
        why = "the application does not serve yet"
        refused = not isinstance(target, ExecTarget)
        return ProbeResult("failure", why, answered=False, refused=refused)
