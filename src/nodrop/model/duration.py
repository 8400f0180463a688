"""Lengths of time as people write them in annotations: ``20s``, ``1m30s``, ``500ms``; pure."""

from __future__ import annotations

import re

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration_s(text: str) -> float | None:
    """Seconds; None for what is no duration. A number alone is seconds.

    >>> parse_duration_s("1m30s"), parse_duration_s("20"), parse_duration_s("soon")
    (90.0, 20.0, None)
    """
    if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII):
        return float(text)
    if not text.isascii() or not _WHOLE.fullmatch(text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
