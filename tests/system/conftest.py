"""A whole engine for a test: its own state folder, free ports, and gone at the end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.harness import Engine
from tests.system.site import Site, deploy


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path, whatever $TMPDIR is: unix sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="nd", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_engine() -> Iterator[Engine]:
    with short_folder() as folder:
        engine = Engine(folder / "state")
        try:
            yield engine.serve()
        finally:
            engine.close()


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


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


@pytest.fixture(scope="session")
def empty_engine() -> Iterator[Engine]:
    """One for all tests of what is refused: whoever uses it leaves nothing in it."""
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for a module: its tests know their own requests by marks."""
    with running_engine() as engine:
        yield asyncio.run(deploy(engine, tmp_path_factory.mktemp("site")))
