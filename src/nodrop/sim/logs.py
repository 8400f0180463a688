"""The product's log during a run: warnings enter the timeline, tracebacks fail the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nodrop.sim.timeline import Timeline


class _Listener(logging.Handler):
    def __init__(self, fail: Callable[[str, str], None], timeline: Timeline) -> None:
        super().__init__(logging.WARNING)
        self._fail = fail
        self._timeline = timeline

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self._timeline.add("log", f"{record.levelname.lower()}: {said}")
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self._fail("no unforeseen exception", f"{said}: {error!r}")


@contextmanager
def listening(fail: Callable[[str, str], None], timeline: Timeline) -> Iterator[None]:
    """Hear everything that nodrop logs as a warning or worse."""
    logger = logging.getLogger("nodrop")
    handler = _Listener(fail, timeline)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
