"""Where a state folder's parts lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodrop.statedir import StateDir


def test_sockets_lie_inside_where_their_path_is_short() -> None:
    assert StateDir(Path("/srv/nodrop")).sockets == Path("/srv/nodrop/run")


def test_sockets_of_a_long_path_are_found_from_every_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """HAProxy refused the path that a long $TMPDIR made of it; another $TMPDIR made another."""
    state = StateDir(Path("/srv") / ("n" * 80))
    found = state.sockets
    assert len(os.fsencode(found)) < 80
    monkeypatch.setenv("TMPDIR", "/srv/" + "t" * 60)
    assert state.sockets == found
    assert StateDir(Path("/srv") / ("m" * 80)).sockets != found
