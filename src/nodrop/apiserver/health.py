"""``/livez``, ``/readyz`` and ``/healthz``: named checks, answered in upstream's words.

Alive is an engine that a restart would not mend; ready is one that knows all objects and whose
proxy serves what they say. ``/healthz`` is the older word for ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web

log = logging.getLogger(__name__)

#: Raises or takes too long when something is wrong.
Check = Callable[[], Awaitable[None]]
#: The names of what failed, and why.
Failures = Mapping[str, str]

_WITHIN_S = 1.0


async def _ping() -> None:
    """That this was called is all there is to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Checks by the name that answers have. ``only_ready`` are not asked by ``/livez``."""

    alive: Mapping[str, Check] = field(default_factory=dict)
    only_ready: Mapping[str, Check] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        live = {"ping": _ping, **self.alive}
        ready = {**live, **self.only_ready}
        found = []
        for name, checks in (("livez", live), ("readyz", ready), ("healthz", ready)):
            found.append(web.get(f"/{name}", partial(_answer_all, name, checks)))
            found += [
                web.get(f"/{name}/{one}", partial(_answer_one, one, check))
                for one, check in checks.items()
            ]
        return found


def told(name: str, checks: Sequence[str], failed: Collection[str], excluded: Sequence[str]) -> str:
    """The long answer: a line for each check, what can't be excluded, and the outcome. Pure."""
    lines = [f"{_line(one, failed, excluded)}\n" for one in checks]
    if strangers := sorted({one for one in excluded if one not in checks}):
        quoted = ", ".join(f'"{one}"' for one in strangers)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}\n")
    lines.append(f"{name} check {'failed' if failed else 'passed'}\n")
    return "".join(lines)


async def failures(checks: Mapping[str, Check], excluded: Collection[str] = ()) -> Failures:
    """Ask all but those ``excluded``, side by side."""
    asked = [name for name in checks if name not in excluded]
    whys = await asyncio.gather(*(_failure(checks[name]) for name in asked))
    return {name: why for name, why in zip(asked, whys, strict=True) if why}


# Private


def _line(one: str, failed: Collection[str], excluded: Collection[str]) -> str:
    if one in excluded:
        return f"[+]{one} excluded: ok"
    # The reason is in our log: this is answered without credentials.
    return f"[-]{one} failed: reason withheld" if one in failed else f"[+]{one} ok"


async def _failure(check: Check) -> str:
    try:
        async with asyncio.timeout(_WITHIN_S):
            await check()
    except TimeoutError:
        return f"no answer within {_WITHIN_S:g} s"
    except Exception as error:  # whatever a check finds is its answer
        return str(error) or type(error).__name__
    return ""


async def _answer_all(
    name: str, checks: Mapping[str, Check], request: web.Request
) -> web.StreamResponse:
    excluded = request.query.getall("exclude", [])
    failed = await failures(checks, excluded)
    if not failed and "verbose" not in request.query:
        return _text("ok")
    if failed:
        log.warning("%s check failed: %s", name, "; ".join(map(": ".join, failed.items())))
    return _text(told(name, list(checks), failed, excluded), status=500 if failed else 200)


async def _answer_one(name: str, check: Check, _: web.Request) -> web.StreamResponse:
    failed = await failures({name: check})
    if failed:
        return _text(f"internal server error: {failed[name]}\n", status=500)
    return _text("ok")


def _text(text: str, *, status: int = 200) -> web.Response:
    headers = {"X-Content-Type-Options": "nosniff"}
    return web.Response(text=text, status=status, headers=headers)
