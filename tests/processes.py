"""Whether processes are there: for tests that what they started is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path


def gone(pid: int) -> bool:
    """Ended, whether or not its parent has looked."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text.rpartition(") ")[2][0] in "ZX"


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while not gone(pid):
            await asyncio.sleep(0.01)
