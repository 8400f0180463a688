"""The hello example does what its manifests say when it is told to end (S12, S13)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.engine import free_port
from nodrop.rehearse.load import Load
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import LoadSpec, Mix, target_of

APP = Path(__file__).parents[2] / "examples" / "hello" / "app.py"
QUICK = Mix(post_share=0, slow_share=0)
SLOW = Mix(post_share=0, slow_share=1, slow_s=0.5)
NEVER = Mix(post_share=0, slow_share=1, slow_s=60)


@dataclass(frozen=True)
class Hello:
    process: asyncio.subprocess.Process
    url: str


@asynccontextmanager
async def hello(on_sigterm: str) -> AsyncIterator[Hello]:
    port = free_port()
    environment = {"VERSION": "v7", "POD_NAME": "p-1", "ON_SIGTERM": on_sigterm, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(APP),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert b"listening" in await process.stdout.readline()
        yield Hello(process, f"http://127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def shoot(url: str, *, count: int, mix: Mix, rate: float = 200) -> list[Record]:
    records: list[Record] = []
    await Load(LoadSpec(target_of(url), rate, mix, expect_id=True), records.append).run(count=count)
    return records


def outcomes(records: list[Record]) -> Counter[Outcome]:
    return Counter(record.outcome for record in records)


async def test_it_answers_everything_that_the_usual_load_asks() -> None:
    async with hello("graceful") as app:
        records = await shoot(app.url, count=300, mix=Mix(slow_share=0.05, slow_s=0.1))
    assert outcomes(records) == {Outcome.OK: 300}
    assert {(record.version, record.pod) for record in records} == {("v7", "p-1")}
    assert {record.method for record in records} == {"GET", "POST"}


async def sigterm_in_mid_answer(app: Hello, mix: Mix = SLOW) -> list[Record]:
    """Ten requests, all of them read by the app when SIGTERM comes."""
    records: list[Record] = []
    load = Load(LoadSpec(target_of(app.url), 1000, mix, expect_id=True), records.append)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(count=10))
        while load.fired < 10 or len(load._on_wire) < load.in_flight:
            await asyncio.sleep(0.001)
        assert outcomes(await shoot(app.url, count=1, mix=QUICK)) == {Outcome.OK: 1}
        app.process.send_signal(signal.SIGTERM)
    return records


async def test_graceful_finishes_what_is_under_way_and_ends() -> None:
    async with hello("graceful") as app:
        assert outcomes(await sigterm_in_mid_answer(app)) == {Outcome.OK: 10}
        assert await app.process.wait() == 0
        refused = await shoot(app.url, count=3, mix=SLOW)
    assert outcomes(refused) == {Outcome.REFUSED: 3}


async def test_exit_cuts_what_is_under_way() -> None:
    async with hello("exit") as app:
        records = await sigterm_in_mid_answer(app, NEVER)
        assert await app.process.wait() == 0
    lost = outcomes(records)
    assert not lost[Outcome.OK]
    assert set(lost) <= {Outcome.CLOSED, Outcome.CLOSED_KEEP_ALIVE, Outcome.RESET}


async def test_ignore_goes_on_until_sigkill() -> None:
    async with hello("ignore") as app:
        assert outcomes(await sigterm_in_mid_answer(app)) == {Outcome.OK: 10}
        assert outcomes(await shoot(app.url, count=20, mix=Mix())) == {Outcome.OK: 20}
        assert app.process.returncode is None


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /nowhere HTTP/1.1", 404),
        ("GET /echo HTTP/1.1", 405),
        ("GET /slow?s=x HTTP/1.1", 400),
        ("POST /echo HTTP/1.1\r\nContent-Length: -1", 400),
        ("nonsense", 400),
    ],
)
async def test_what_it_does_not_understand_it_refuses(request_line: str, status: int) -> None:
    async with hello("graceful") as app:
        target = target_of(app.url)
        reader, writer = await asyncio.open_connection(target.address, target.port)
        writer.write(request_line.encode() + b"\r\n\r\n")
        assert (await reader.readline()).split()[1] == str(status).encode()
        writer.close()
        await writer.wait_closed()
