"""What ``nodrop rehearse`` says while nothing is to be seen yet."""

from __future__ import annotations

from typing import Any, cast

import pytest

from nodrop.cli import rehearse_alone
from nodrop.cli.rehearse import look
from nodrop.cli.rehearse_run import Traffic


@pytest.mark.parametrize("facts", [None, object()])
async def test_an_app_that_is_not_ready_is_told_before_the_long_wait(
    facts: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def looked(*_given: object, **_asked: object) -> object:
        return facts

    monkeypatch.setattr(rehearse_alone, "look_at_app", looked)
    nothing = cast("Any", None)
    found = await look(nothing, nothing, [], Traffic(gets=("/",)))
    assert found is facts
    assert ("did not become ready" in capsys.readouterr().out) == (facts is None)
