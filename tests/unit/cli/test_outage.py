"""An engine that is away for a moment is waited for; one that stays away is told."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from nodrop.cli.follow import _Picture, _synced, _until_decided
from nodrop.cli.outage import Outage
from nodrop.cli.session import Failure, engine_of
from nodrop.client.cache import Cache
from nodrop.model.errors import ApiError
from nodrop.statedir import StateDir

AWAY = ApiError(0, "Unreachable", "cannot reach it")


@pytest.mark.parametrize(
    ("failures_s", "now_s", "expected_s"),
    [
        ([], 9.0, 0.0),
        ([1.0, 1.5, 2.0], 2.2, 1.2),  # it goes on
        ([1.0, 1.5], 9.0, 0.0),  # it is back
        ([1.0, 1.5, 20.0, 20.5], 21.0, 1.0),  # a second one begins anew
    ],
)
def test_an_outage_is_as_long_as_failures_follow_each_other(
    failures_s: list[float], now_s: float, expected_s: float
) -> None:
    outage = Outage()
    for failed_s in failures_s:
        outage.note(AWAY, failed_s)
    assert outage.lasted_s(now_s) == pytest.approx(expected_s)


class NeverSynced:
    async def synced(self) -> None:
        await asyncio.Event().wait()


async def test_an_engine_that_was_ended_is_not_waited_for(tmp_path: Path) -> None:
    """``nodrop down`` while ``nodrop up`` follows: that went on for a minute after the end."""
    check = partial(engine_of, StateDir(tmp_path))
    with pytest.raises(Failure, match="no nodrop engine runs"):
        await _synced(cast(Cache, NeverSynced()), Outage(), check)

    def look() -> None:
        check()

    with pytest.raises(Failure, match="no nodrop engine runs"):
        await _until_decided(
            cast(Cache, NeverSynced()), (), asyncio.Event(), look, _Picture(), quiet=True
        )
