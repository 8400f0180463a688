"""How much one user may ask."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from nodrop.apiserver.limits import Gate, Limits
from nodrop.model.errors import ApiError
from nodrop.model.rbac import User

ANN, BOB, OWNER = User("ann"), User("bob"), User("root", ("system:masters",))


def test_a_burst_and_then_so_many_a_second() -> None:
    gate = Gate(Limits(requests_per_s=10, burst=3))
    for _ in range(3):
        gate.admit(ANN, 0.0)
    with pytest.raises(ApiError) as caught:
        gate.admit(ANN, 0.0)
    assert (caught.value.code, caught.value.details["retryAfterSeconds"]) == (429, 1)
    gate.admit(BOB, 0.0)  # another's share
    gate.admit(ANN, 0.1)
    with pytest.raises(ApiError):
        gate.admit(ANN, 0.1)
    for _ in range(3):  # a rest fills it again, up to the burst
        gate.admit(ANN, 100.0)
    with pytest.raises(ApiError):
        gate.admit(ANN, 100.0)


def test_the_owner_is_not_counted() -> None:
    gate = Gate(Limits(requests_per_s=1, burst=1))
    for _ in range(100):
        gate.admit(OWNER, 0.0)


def test_watches_of_one_user_and_of_all() -> None:
    gate = Gate(Limits(watches_of_one=2, watches_of_all=3))
    with ExitStack() as open_:
        for user in (ANN, ANN):
            open_.enter_context(gate.watching(user))
        with pytest.raises(ApiError, match="2 watches open"), gate.watching(ANN):
            raise AssertionError("not let in")
        open_.enter_context(gate.watching(BOB))
        with pytest.raises(ApiError, match="3 watches are open"), gate.watching(OWNER):
            raise AssertionError("not let in")
    with gate.watching(ANN):
        pass
