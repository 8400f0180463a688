"""kubectl as its users have it: every version found here, with a home folder of its own."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.harness import Engine

#: Versions beyond the locked one, under the names that package managers give them.
_OTHER_NAMES = ("kubectl.1.29", "kubectl.1.33")
_COMMAND_TIMEOUT_S = 60.0


def _kubectls() -> dict[str, Path]:
    """The locked kubectl beside this Python, and further versions on this machine."""
    found = {}
    locked = Path(sys.executable).with_name("kubectl")
    if locked.exists():
        found["kubectl"] = locked
    folders = [Path(folder) for folder in os.get_exec_path()]
    if usual := shutil.which("kubectl"):
        folders.append(Path(usual).resolve().parent)
    # The venv's own kubectl may hide the one whose neighbours we look for.
    folders += [(folder / "kubectl").resolve().parent for folder in tuple(folders)]
    for name in _OTHER_NAMES:
        for folder in folders:
            if os.access(folder / name, os.X_OK):
                found.setdefault(name, folder / name)
    return found


KUBECTLS = _kubectls()


@dataclass(frozen=True, slots=True)
class Said:
    """What a kubectl command said, and how it ended."""

    code: int
    out: str
    err: str


class Kubectl:
    """Runs one kubectl against one kubeconfig, away from the user's own configuration."""

    def __init__(self, binary: Path, home: Path, kubeconfig: Path) -> None:
        self._binary = binary
        self._kubeconfig = kubeconfig
        self._env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "KUBECACHEDIR": str(home / "cache"),
            "KUBECONFIG": str(kubeconfig),
        }

    def speaking_spdy(self) -> Kubectl:
        """The same, told to do without WebSocket, as it was before 1.30."""
        other = copy.copy(self)
        names = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS")
        other._env = {**self._env, **dict.fromkeys(names, "false")}
        return other

    async def __call__(self, *args: str, stdin: str = "") -> str:
        """Run; returns stdout. Fails the test when kubectl fails."""
        said = await self.ask(*args, stdin=stdin)
        assert said.code == 0, f"kubectl {' '.join(args)}: {said.err or said.out}"
        return said.out

    async def ask(self, *args: str, stdin: str = "") -> Said:
        """Run and see how it ends."""
        process = await self.start(*args)
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                out, err = await process.communicate(stdin.encode())
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def start(
        self, *args: str, terminal: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """Start a command that goes on (``-w``, ``-f``); the caller ends it.

        ``terminal`` is a descriptor to use instead of pipes.
        """
        return await asyncio.create_subprocess_exec(
            self._binary,
            *args,
            env=self._env,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )


@pytest.fixture(params=KUBECTLS or ["none"])
def kubectl_binary(request: pytest.FixtureRequest) -> Path:
    """Each kubectl in turn."""
    assert request.param in KUBECTLS, "no kubectl: ./dev setup installs one into the venv"
    return KUBECTLS[request.param]


def rows(text: str) -> Sequence[list[str]]:
    """The words of each line of a table, its header left out."""
    return [line.split() for line in text.splitlines()[1:]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A whole engine, gone at the end."""
    running = Engine(tmp_path / "state")
    try:
        yield running.serve()
    finally:
        running.close()


@pytest.fixture
def kubectl(kubectl_binary: Path, engine: Engine, tmp_path: Path) -> Kubectl:
    """kubectl on the engine; a module with a server of its own has its own."""
    return Kubectl(kubectl_binary, tmp_path, engine.state.kubeconfig)
