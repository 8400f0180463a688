"""The load generator is believed because it is tested: every planted loss is found (S14).

A server in a process of its own loses one request in 10,000 of each of 17 kinds, chosen by id. All
of them, and nothing else, must be in the ledger, each with the right cause and pod.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nodrop.rehearse.cause import Cause
from nodrop.rehearse.ledger import Completion, Evidence, Ledger, write_ledger
from nodrop.rehearse.lives import Life, Lives
from nodrop.rehearse.load import Load
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import LoadSpec, Mix, Target
from tests.integration.planted import CAUSES, NAMED, NEW, Plant, plant_of

_REQUESTS = 20_000
_SHAPE = (
    "--expect-id", "--pod-header", "Nodrop-Pod", "--app-header", "Nodrop-App",
    "--timeout-s", "10", "--slow-share", "0",
)  # fmt: skip


@asynccontextmanager
async def planted(every: int) -> AsyncIterator[str]:
    """The server's URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.planted", str(every)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    process.stdin.close()
    await process.wait()


async def account(url: str, *, rate: float, count: int) -> tuple[Ledger, list[Record]]:
    """The ledger of a load; an old pod is being ended all the time, a new one serves."""
    records: list[Record] = []
    arguments = [*arguments_for(url, rate=rate), *_SHAPE, "--count", str(count)]
    load = await LoadProcess.start(arguments)
    try:
        async for batch in load.batches():
            records += batch
    finally:
        await load.kill()
    lives, evidence = Lives(), Evidence()
    for uid, revision, deleting in (("old", "r1", 0.5), ("new", "r2", None)):
        life = Life(uid, uid, 0.0, uid=uid, revision=revision, ready=0.1, deleting=deleting)
        lives.pods[uid] = lives._by_uid[uid] = life
    evidence.add_all(records, may_be_old=True)
    return write_ledger(evidence, lives, [Completion(0.0, float("inf"), "r2")]), records


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("load")
async def test_every_planted_loss_is_found_attributed_and_counted_exactly_s14() -> None:
    async with planted(10_000) as url:
        ledger, records = await account(url, rate=1000, count=_REQUESTS)
    assert sorted(record.id for record in records) == list(range(_REQUESTS))
    wanted = {number: plant for number in range(_REQUESTS) if (plant := plant_of(number, 10_000))}
    assert Counter(wanted.values()) == dict.fromkeys(Plant, _REQUESTS // 10_000)
    found = {loss.number: loss for loss in ledger.losses}
    assert {number: loss.cause for number, loss in found.items()} == {
        number: CAUSES[plant] for number, plant in wanted.items()
    }
    for number, plant in wanted.items():
        loss = found[number]
        named = NAMED.get(plant)
        if named:
            assert (loss.pod, loss.sureness) == (named.partition("_")[0], "named"), plant
        elif plant is Plant.PROXY_503:
            assert (loss.pod, loss.sureness) == ("", "unknown")
        else:  # no answer came: the only pod that was being ended is blamed
            assert (loss.pod, loss.sureness, loss.phase) == ("old", "inferred", "after SIGTERM")
    assert ledger.requests == ledger.answered + ledger.lost == _REQUESTS
    assert ledger.lost == len(wanted) == 2 * len(Plant)


async def test_where_nothing_is_planted_nothing_is_lost() -> None:
    async with planted(10**9) as url:
        ledger, records = await account(url, rate=1000, count=2_000)
    lost = [loss for loss in ledger.losses if loss.number != 0]  # 0 is planted whatever the share
    assert lost == []
    assert {record.pod for record in records if record.id} == {NEW}


async def test_refused_connections_are_counted_exactly() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        port = sock.getsockname()[1]
        evidence = Evidence()
        records: list[Record] = []
        spec = LoadSpec(Target("127.0.0.1", port, "x"), 500.0, Mix(slow_share=0))
        await Load(spec, records.append).run(count=100)
    evidence.add_all(records)
    ledger = write_ledger(evidence, Lives())
    assert ledger.causes() == {Cause.REFUSED: 100}
    assert (ledger.requests, ledger.answered) == (100, 0)
