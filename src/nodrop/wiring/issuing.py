"""Certificates made by a process of its own: `cryptography` and its 8 MB end with it."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import datetime
from pathlib import Path

from nodrop.apiserver.certificates import are_good

log = logging.getLogger(__name__)


async def issue_apart(folder: Path, now: datetime) -> None:
    """Have what is missing or ends soon made by a child; returns when it has ended.

    A child that fails is told of: ``ensure_certificates`` then makes them here, or says why not.
    """
    if are_good(folder, now):
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nodrop.apiserver.certificates", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
    )
    if code := await process.wait():
        log.warning("the process that makes certificates ended with %d; making them here", code)
