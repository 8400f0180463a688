"""A path that the app does not answer is a wrong option of a rehearsal, not a loss."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from nodrop.cli.rehearse_aim import Aim
from nodrop.cli.rehearse_paths import Traffic, answering_paths
from nodrop.cli.session import Failure
from nodrop.model.kinds import DEPLOYMENT, SERVICE
from nodrop.model.meta import ObjectKey
from nodrop.rehearse.schedule import Target

AIM = Aim(
    deployment=ObjectKey(DEPLOYMENT, "default", "web"),
    service=ObjectKey(SERVICE, "default", "web"),
    port=80,
)


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            assert message.type is WSMsgType.TEXT, "what most applications understand"
            await socket.send_str(message.data if request.path == "/echo" else "no")
        return socket

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_post("/post", answer)
    app.router.add_get("/echo", echo)
    app.router.add_get("/other", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield Target(host, port, f"{host}:{port}")
    await runner.cleanup()


async def test_paths_that_are_answered_are_taken(target: Target) -> None:
    traffic = Traffic(gets=("/",), post="/post", echoed=True, slow="/", websocket="/echo")
    assert await answering_paths(target, traffic, AIM) == ("/",)
    assert await answering_paths(target, Traffic(), AIM) == ("/",)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"gets": ("/nope",)}, "the app does not answer: GET /nope: 404"),
        ({"post": "/"}, "the app does not answer --post /: 405"),
        ({"slow": "/nope"}, "the app does not answer --slow /nope: 404"),
        ({"websocket": "/nope"}, "the app does not answer --websocket /nope: 404"),
        ({"websocket": "/"}, "the app does not answer --websocket /: 200"),
        ({"websocket": "/other"}, "a message came back changed"),
    ],
)
async def test_one_that_is_not_is_named_with_its_option(
    target: Target, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(Failure, match=told) as failed:
        await answering_paths(target, Traffic(**wrong), AIM)
    (option,) = wrong
    assert f"with --{'url' if option == 'gets' else option} PATH" in failed.value.hint
