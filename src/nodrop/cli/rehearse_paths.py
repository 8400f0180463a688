"""Which requests a rehearsal sends, and whether the app answers each of them at all.

Every path is asked for once before the load: one that is never answered is a wrong option, and
counting its requests as lost would say nothing about rollouts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from nodrop.cli.rehearse_aim import Aim
from nodrop.cli.session import Failure
from nodrop.rehearse.load import Load
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import LoadSpec, Mix, Target
from nodrop.rehearse.stream import Ended
from nodrop.rehearse.websocket import WebSocket

_FIRST_ANSWER_TIMEOUT_S = 15.0
_ONE_ANSWER_TIMEOUT_S = 2.0
_MESSAGE = b"nodrop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Which requests are sent. Paths that are empty are left out."""

    rate: float = 200.0
    gets: tuple[str, ...] = ()
    post: str = ""
    slow: str = ""
    slow_s: float = 1.0
    websocket: str = ""
    echoed: bool = False
    expect_id: bool = False
    id_header: str = "X-Request-Id"
    version_header: str = "X-Version"
    pod_header: str = ""
    timeout_s: float = 10.0
    seed: int = 1


async def answering_paths(target: Target, traffic: Traffic, aim: Aim) -> tuple[str, ...]:
    """What GETs ask for: as told, else the Ingress's path, else the probe's.

    Raises Failure when they, or one of the other paths, are not answered.
    """
    gets = await _gets(target, traffic, aim)
    for option, path, mix in _others(traffic):
        if why := await _fails(target, mix, traffic.timeout_s):
            raise Failure(
                f"the app does not answer {option} {path}: {why}",
                hint=f"name a path that answers 2xx with {option} PATH",
            )
    if traffic.websocket and (why := await _websocket_fails(target, traffic.websocket)):
        raise Failure(
            f"the app does not answer --websocket {traffic.websocket}: {why}",
            hint="name a path that sends every text message back with --websocket PATH",
        )
    return gets


# Private


def _others(traffic: Traffic) -> Iterator[tuple[str, str, Mix]]:
    if traffic.post:
        mix = Mix(post_share=1, slow_share=0, echo_path=traffic.post, echoed=traffic.echoed)
        yield "--post", traffic.post, mix
    if traffic.slow:
        mix = Mix(post_share=0, slow_share=1, slow_path=traffic.slow, slow_s=traffic.slow_s)
        yield "--slow", traffic.slow, mix


async def _gets(target: Target, traffic: Traffic, aim: Aim) -> tuple[str, ...]:
    tried: list[str] = []
    for paths in [traffic.gets] if traffic.gets else [(aim.path,), (aim.health,)]:
        failures = [why for path in paths if path and (why := await _get_fails(target, path))]
        if not failures and any(paths):
            return tuple(paths)
        tried += failures
    raise Failure(
        f"the app does not answer: {'; '.join(tried)}",
        hint="name paths that answer 2xx with --url PATH",
    )


async def _get_fails(target: Target, path: str) -> str:
    mix = Mix(get_paths=(path,), post_share=0, slow_share=0, echoed=False)
    why = await _fails(target, mix)
    return f"GET {path}: {why}" if why else ""


async def _fails(target: Target, mix: Mix, timeout_s: float = _ONE_ANSWER_TIMEOUT_S) -> str:
    """Why the one request of ``mix`` is not answered, or an empty string once it is."""
    spec = LoadSpec(target, 100.0, mix, timeout_s=timeout_s)
    records: list[Record] = []
    loop = asyncio.get_running_loop()
    until = loop.time() + _FIRST_ANSWER_TIMEOUT_S
    while loop.time() < until:
        records.clear()
        await Load(spec, records.append).run(count=1)
        if not records[0].lost:
            return ""
        if records[0].status in range(200, 500):  # it will not change its mind
            break
        await asyncio.sleep(0.1)
    if records[0].status in range(200, 300):  # an answer, and not the one that was to come
        return str(records[0].outcome)
    return str(records[0].status or records[0].outcome)


async def _websocket_fails(target: Target, path: str) -> str:
    """Why a message does not come back, or an empty string when it does."""
    timeout_s = _ONE_ANSWER_TIMEOUT_S
    try:
        connection = await WebSocket.connect(target, path, timeout_s=timeout_s, text=True)
        try:
            answer = await connection.exchange(_MESSAGE, timeout_s=timeout_s)
        finally:
            connection.abort()
    except Ended as ended:
        return str(ended.status or ended.outcome)
    return "" if answer == _MESSAGE else "a message came back changed"
