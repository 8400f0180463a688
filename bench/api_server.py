"""``python -m bench.api_server FOLDER``: the API server alone, until its stdin is closed.

No agent and no controller, so 5,000 pods stay objects.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.serving import serving


async def serve(folder: Path) -> None:
    async with serving(folder):
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
