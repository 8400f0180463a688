"""Certificates made by a process of its own: `cryptography` and its 12 MB end with it."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import datetime

from nodrop.apiserver.certificates import are_good
from nodrop.proxy.haproxy.certificates import default_file
from nodrop.statedir import StateDir

log = logging.getLogger(__name__)


async def issue_apart(state: StateDir, now: datetime) -> None:
    """Have what is missing or ends soon made by a child; returns when it has ended.

    Those of the API, and the proxy's default one. A child that fails is told of: whoever needs a
    certificate then makes it here, or says why not.
    """
    default = default_file(state.proxy)
    if are_good(state.pki, now) and default.exists():
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "nodrop.wiring.issue", str(state.pki), str(default)),
        stdin=asyncio.subprocess.DEVNULL,
    )
    if code := await process.wait():
        log.warning("the process that makes certificates ended with %d; making them here", code)
