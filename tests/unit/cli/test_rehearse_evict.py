"""An eviction waits for its budget, and not for one that will never allow it."""

from __future__ import annotations

import pytest

from nodrop.cli.rehearse_evict import evict
from nodrop.cli.session import Failure
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD
from nodrop.model.meta import ObjectKey

POD_KEY = ObjectKey(POD, "default", "web-1")
NEEDS = "The disruption budget web needs 2 healthy pods and has 1 currently"
REFUSED = ApiError(429, "TooManyRequests", "Cannot evict pod", {"causes": [{"message": NEEDS}]})


class Answers:
    """Answers evictions with these, the last one again and again; counts what was asked."""

    def __init__(self, *answers: ApiError | None) -> None:
        self.answers, self.asked, self.rests = answers, 0, 0

    async def evict(self, pod: ObjectKey) -> None:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer:
            raise answer

    async def settled(self) -> None:
        self.rests += 1


@pytest.mark.parametrize(
    ("answers", "rests"),
    [
        ((None,), 0),
        ((REFUSED, REFUSED, None), 2),
        ((REFUSED, ApiError(404, "NotFound", "gone")), 1),
    ],
)
async def test_a_pod_is_evicted_once_its_budget_allows_it(
    answers: tuple[ApiError | None, ...], rests: int
) -> None:
    client = Answers(*answers)
    await evict(client, POD_KEY, client.settled, retry_s=0)
    assert (client.asked, client.rests) == (len(answers), rests)


async def test_a_budget_that_never_allows_it_is_told_by_its_arithmetic() -> None:
    """Found by use: three minutes of silence, and then a traceback."""
    client = Answers(REFUSED)
    with pytest.raises(Failure, match="web-1 can't be evicted") as failure:
        await evict(client, POD_KEY, client.settled, retry_s=0)
    assert NEEDS in str(failure.value)
    assert "ND601" in failure.value.hint


async def test_other_errors_are_not_for_the_budget() -> None:
    client = Answers(ApiError(403, "Forbidden", "no"))
    with pytest.raises(ApiError, match="no"):
        await evict(client, POD_KEY, client.settled, retry_s=0)
    assert client.asked == 1
