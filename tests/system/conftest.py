"""A whole engine for a test: its own state folder, free ports, and gone at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.harness import Engine
from tests.system.site import Site, deploy


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder with a short path: unix sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="nd"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_engine(short_tmp: Path) -> Iterator[Callable[[], Engine]]:
    """Makes engines that do not run yet; ends those that were started."""
    made: list[Engine] = []

    def make() -> Engine:
        made.append(Engine(short_tmp / f"state{len(made)}"))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(new_engine: Callable[[], Engine]) -> Engine:
    return new_engine().serve()


@pytest.fixture
async def site(engine: Engine, tmp_path: Path) -> Site:
    return await deploy(engine, tmp_path)
