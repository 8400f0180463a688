"""The tokens in a pod's volumes: kept while they are good, replaced in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodrop.agent.api_access import AccountToken
from nodrop.agent.plan.volumes import File, VolumeFailure
from nodrop.agent.pod_context import PodContext
from nodrop.agent.pod_tokens import PodTokens
from nodrop.agent.volumes import NamedVolumes
from nodrop.clock import Clock
from nodrop.model.errors import not_found
from nodrop.model.kinds import SERVICEACCOUNT
from nodrop.model.meta import Obj
from nodrop.sim.loop import VirtualClock, run_virtual
from tests.unit.agent.fakes import FakeFolders, FakeProber, FakeRuntime
from tests.unit.agent.rig import Rig, container, pod
from tests.unit.registry.world import StandingClock


@dataclass
class Access:
    """Gives numbered tokens, or none once the account has gone."""

    clock: Clock
    given: list[str] = field(default_factory=list)
    gone: bool = False

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    def token(self, pod: Obj, audience: str, life_s: int) -> AccountToken:
        if self.gone:
            raise not_found(SERVICEACCOUNT, "bot")
        self.given.append(f"{audience}{len(self.given)}")
        now = self.clock.now()
        return AccountToken(self.given[-1], now, now + timedelta(seconds=life_s))


class Written(NamedVolumes):
    """Volumes by name; remembers when which token was written."""

    def __init__(self) -> None:
        self.tokens: list[tuple[int, bytes]] = []

    def write(self, uid: str, volume: str, files: Mapping[str, File], *, keep_old: bool) -> str:
        data = files["token"].data
        if not self.tokens or self.tokens[-1][1] != data:
            self.tokens.append((round(asyncio.get_running_loop().time()), data))
        return super().write(uid, volume, files, keep_old=keep_old)


def tokens_of(access: Access) -> PodTokens:
    host: Any = SimpleNamespace(clock=access.clock, api=access)
    return PodTokens(cast("PodContext", SimpleNamespace(host=host, pod={})))


def test_a_token_is_replaced_when_four_fifths_of_its_life_are_over() -> None:
    access = Access(clock := StandingClock())
    tokens = tokens_of(access)
    assert tokens.next_renewal() is None
    assert [tokens.text("", 1000), tokens.text("", 1000), tokens.text("a", 600)] == ["0", "0", "a1"]
    assert tokens.next_renewal() == access.clock.now() + timedelta(seconds=480)
    clock.advance(799)
    assert tokens.text("", 1000) == "0"
    clock.advance(1)
    assert tokens.text("", 1000) == "2"


def test_long_lives_are_used_for_a_day() -> None:
    access = Access(StandingClock())
    tokens = tokens_of(access)
    tokens.text("", 10**9)
    assert tokens.next_renewal() == access.clock.now() + timedelta(hours=24)


def test_without_its_account_a_pod_gets_no_token() -> None:
    access = Access(clock := StandingClock())
    tokens = tokens_of(access)
    tokens.text("", 1000)
    access.gone = True
    assert tokens.text("", 1000) == "0"
    clock.advance(800)
    with pytest.raises(VolumeFailure, match='failed to fetch token: serviceaccounts "bot" not'):
        tokens.text("", 1000)


def test_a_running_pod_finds_a_new_token_before_the_old_one_ends() -> None:
    """Every 480 s of 600, while it runs; nothing wakes it but the time."""

    async def scenario() -> None:
        clock, written = VirtualClock(), Written()
        rig = Rig(
            runtime=FakeRuntime(clock),
            prober=FakeProber(),
            folders=FakeFolders(),
            pod_cidr="127.99.0.0/24",
            clock=clock,
            volumes=written,
            api=Access(clock),
        )
        source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
        async with rig.running():
            volume = {"name": "token", "projected": {"sources": [source]}}
            await rig.create(pod("web", container("serve"), volumes=[volume]))
            await rig.until_ready("web")
            await asyncio.sleep(1500)
        began = written.tokens[0][0]
        assert [data for _, data in written.tokens] == [b"0", b"1", b"2", b"3"]
        for number, (at, _) in enumerate(written.tokens):
            assert 480 * number <= at - began < 480 * number + 3

    run_virtual(scenario())
