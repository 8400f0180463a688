"""Clients that misbehave: half requests, nonsense, deafness; none of them harms a container."""

from __future__ import annotations

import asyncio
import json
import select
import socket
from pathlib import Path

from nodrop.keeper.client import KeeperClient
from nodrop.statedir import StateDir
from tests.integration.kept import sh


async def test_hostile_clients_do_no_harm(keeper: KeeperClient, tmp_path: Path) -> None:
    path = str(StateDir(tmp_path).keeper_socket)
    await keeper.start(sh("one", "sleep 600"))
    clients = []
    half, bytes_only = b'{"id":1,"op":"li', b"\xff\xfe\n"
    for text in (half, bytes_only, b"nonsense\n", b"[]\n", b'{"op":5}\n{"id":"x"}\n', b"\n" * 99):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        client.sendall(text)
        clients.append(client)
    assert len(await keeper.list()) == 1
    for client in clients:
        client.close()
    assert (await keeper.list())[0].exit_code is None


async def test_a_client_that_does_not_read_is_dropped(keeper: KeeperClient, tmp_path: Path) -> None:
    await keeper.start(sh("one", "sleep 600", labels={"big": "x" * 200_000}))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(StateDir(tmp_path).keeper_socket))
        deaf.sendall(b'{"id":1,"op":"list"}\n' * 200)
        hung_up = select.poll()
        hung_up.register(deaf, 0)
        assert hung_up.poll(20_000)
    assert len(await keeper.list()) == 1
    log = (tmp_path / "keeper" / "keeper.log").read_text()
    assert "a client that does not read its answers was dropped" in log


async def test_what_a_bad_request_gets(keeper: KeeperClient, tmp_path: Path) -> None:
    path = str(StateDir(tmp_path).keeper_socket)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"id":7,"op":"fly"}\n{"id":8,"op":"start","args":{"id":"x"}}\n')
    answers = [json.loads(await reader.readline()) for _ in range(2)]
    writer.close()
    assert [(answer["id"], answer["error"]["code"]) for answer in answers] == [
        (7, "ENOSYS"),
        (8, "EINVAL"),
    ]
