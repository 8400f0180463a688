"""Upgrades of one engine come one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.cli.session import Failure
from nodrop.cli.upgrade import _alone, _end
from nodrop.statedir import StateDir


def test_a_second_upgrade_at_once_is_refused(tmp_path: Path) -> None:
    """It ended the control plane that the first had just started."""
    state = StateDir(tmp_path)
    with _alone(state), pytest.raises(Failure, match="another nodrop upgrade runs"), _alone(state):
        pass
    with _alone(state):
        assert (tmp_path / "upgrade.lock").exists()


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with _alone(StateDir(tmp_path / "none")):
        assert not (tmp_path / "none").exists()


async def test_a_control_plane_that_has_just_ended_is_no_error() -> None:
    await _end(2**22 + 1)
