"""What an engine does for a hand-over: tells what it has adopted, replaces the proxy."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.protocol import ProxyFailure
from nodrop.statedir import StateDir
from nodrop.wiring.enginefile import EngineFile
from nodrop.wiring.parts import Parts

log = logging.getLogger(__name__)


async def announce_adoption(parts: Parts, file: EngineFile) -> None:
    """Say in engine.json when every pod has its worker and the proxy has a table of ours."""
    await parts.agent.adopted.wait()
    await parts.sync.caught_up()
    file.adopted, file.adopted_pods = True, parts.agent.adopted_pods
    parts.proxies_changed.set()


async def replace_proxy_when_asked(
    asked: asyncio.Event, parts: Parts, file: EngineFile, *, state: StateDir, path: str | None
) -> None:
    """Hand over to the newest HAProxy (or the chosen one), each time ``asked`` is set."""
    while True:
        await asked.wait()
        asked.clear()
        await parts.sync.caught_up()
        try:
            await parts.proxy.replace(find_binary(path, chosen=chosen_program(state)))
        except ProxyFailure as failure:
            log.error("the proxy was not replaced: %s", failure)
            file.replacement_failure = str(failure)
        else:
            log.info("the proxy was replaced")
            file.replacement_failure = ""
        file.replacements += 1
        parts.proxies_changed.set()


def program_to_run(state: StateDir, path: str | None) -> Path:
    """The HAProxy for an engine that starts: the chosen one while it is there, else the newest."""
    try:
        return find_binary(path, chosen=chosen_program(state))
    except ProxyFailure as failure:
        log.warning("%s; looking for another", failure)
        return find_binary(path)


def chosen_program(state: StateDir) -> Path | None:
    """What ``nodrop upgrade --haproxy`` has chosen, if anything."""
    try:
        return Path(_choice(state).read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return None


def choose_program(state: StateDir, program: Path | None) -> None:
    """Keep a choice over restarts; None goes back to the newest that is found."""
    if program is None:
        _choice(state).unlink(missing_ok=True)
    else:
        _choice(state).write_text(f"{program}\n", encoding="utf-8")


def _choice(state: StateDir) -> Path:
    return state.proxy / "program"
