"""Lengths of time as options: seconds, or as kubectl's users write them (``30s``, ``1h``)."""

from __future__ import annotations

import click

from nodrop.model.duration import parse_duration_s


def duration(value: str | float) -> float:
    """Seconds, as the type of an option. Raises BadParameter for what is no length of time."""
    seconds = parse_duration_s(value) if isinstance(value, str) else float(value)
    if seconds is None:
        raise click.BadParameter(f"{value!r} is no length of time: write seconds, or 30s, 5m, 1h")
    return seconds
