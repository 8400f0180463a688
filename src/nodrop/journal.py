"""Operators' log: one JSON object a line on standard error, context from contextvars."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar

from nodrop.model.meta import format_micro_time

#: What the current task works on, e.g. {"controller": "deployment", "key": "default/web"}.
context: ContextVar[dict[str, str] | None] = ContextVar("nodrop_log_context", default=None)


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, context; a traceback as ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        from datetime import datetime, timezone

        when = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, object] = {
            "time": format_micro_time(when),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **(context.get() or {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Send every logger's lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
