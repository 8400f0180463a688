"""The tokens in a pod's volumes: kept while they are good, replaced in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodrop.agent.api_access import AccountToken
from nodrop.agent.plan.volumes import VolumeFailure
from nodrop.agent.pod_context import PodContext
from nodrop.agent.pod_tokens import PodTokens
from nodrop.model.errors import not_found
from nodrop.model.kinds import SERVICEACCOUNT
from nodrop.model.meta import Obj
from tests.unit.registry.world import StandingClock


@dataclass
class Access:
    """Gives numbered tokens, or none once the account has gone."""

    clock: StandingClock
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


def tokens_of(access: Access) -> PodTokens:
    host: Any = SimpleNamespace(clock=access.clock, api=access)
    return PodTokens(cast("PodContext", SimpleNamespace(host=host, pod={})))


def test_a_token_is_replaced_when_four_fifths_of_its_life_are_over() -> None:
    access = Access(StandingClock())
    tokens = tokens_of(access)
    assert tokens.next_renewal() is None
    assert [tokens.text("", 1000), tokens.text("", 1000), tokens.text("a", 600)] == ["0", "0", "a1"]
    assert tokens.next_renewal() == access.clock.now() + timedelta(seconds=480)
    access.clock.advance(799)
    assert tokens.text("", 1000) == "0"
    access.clock.advance(1)
    assert tokens.text("", 1000) == "2"


def test_long_lives_are_used_for_a_day() -> None:
    access = Access(StandingClock())
    tokens = tokens_of(access)
    tokens.text("", 10**9)
    assert tokens.next_renewal() == access.clock.now() + timedelta(hours=24)


def test_without_its_account_a_pod_gets_no_token() -> None:
    access = Access(StandingClock())
    tokens = tokens_of(access)
    tokens.text("", 1000)
    access.gone = True
    assert tokens.text("", 1000) == "0"
    access.clock.advance(800)
    with pytest.raises(VolumeFailure, match='failed to fetch token: serviceaccounts "bot" not'):
        tokens.text("", 1000)
