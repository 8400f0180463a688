"""Health in upstream's words: named checks, what is excluded, and what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nodrop.apiserver.health import Health, failures, told
from nodrop.sim.loop import run_virtual


async def fine() -> None:
    pass


async def broken() -> None:
    raise OSError("disk is gone")


async def endless() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("failed", "excluded", "text"),
    [
        ([], [], "[+]ping ok\n[+]store ok\nreadyz check passed\n"),
        ([], ["store"], "[+]ping ok\n[+]store excluded: ok\nreadyz check passed\n"),
        (
            ["store"],
            ["etcd", "dns"],
            "[+]ping ok\n[-]store failed: reason withheld\n"
            'warn: some health checks cannot be excluded: no matches for "dns", "etcd"\n'
            "readyz check failed\n",
        ),
    ],
)
def test_the_long_answer(failed: Sequence[str], excluded: Sequence[str], text: str) -> None:
    assert told("readyz", ["ping", "store"], failed, excluded) == text


def test_a_check_that_raises_or_never_ends_has_failed() -> None:
    checks = {"a": fine, "b": broken, "c": endless}

    async def scenario() -> None:
        assert await failures(checks) == {"b": "disk is gone", "c": "no answer within 1 s"}
        assert await failures(checks, ["b", "c"]) == {}

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/livez", 200, "ok"),
        ("/livez?verbose", 200, "[+]ping ok\n[+]store ok\nlivez check passed\n"),
        ("/livez/proxy", 404, None),
        ("/readyz", 500, "[+]ping ok\n[+]store ok\n[-]proxy failed: reason withheld\n"
         "readyz check failed\n"),
        ("/readyz?exclude=proxy", 200, "ok"),
        ("/healthz?exclude=proxy&exclude=store&verbose=1", 200,
         "[+]ping ok\n[+]store excluded: ok\n[+]proxy excluded: ok\nhealthz check passed\n"),
        ("/readyz/store", 200, "ok"),
        ("/readyz/proxy", 500, "internal server error: disk is gone\n"),
    ],
)  # fmt: skip
async def test_paths(path: str, status: int, text: str | None) -> None:
    app = web.Application()
    app.add_routes(Health(alive={"store": fine}, only_ready={"proxy": broken}).routes())
    async with TestClient(TestServer(app)) as client, client.get(path) as response:
        assert response.status == status
        if text is not None:
            assert await response.text() == text
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
