"""What several of these tests start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.statedir import StateDir


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[KeeperClient]:
    state = StateDir(tmp_path)
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    try:
        yield client
    finally:
        await client.shutdown(grace_s=0.2)
