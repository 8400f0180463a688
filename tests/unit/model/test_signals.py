"""Names of signals and their numbers."""

from __future__ import annotations

from signal import Signals

import pytest

from nodrop.model.signals import signal_number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SIGTERM", 15),
        ("SIGKILL", 9),
        ("SIGRTMIN", Signals.SIGRTMIN),
        ("SIGRTMIN+3", Signals.SIGRTMIN + 3),
        ("SIGRTMIN+15", Signals.SIGRTMIN + 15),
        ("SIGRTMAX-14", Signals.SIGRTMAX - 14),
        ("SIGRTMIN+16", None),
        ("SIGRTMAX-15", None),
        ("SIGRTMIN+0", None),
        ("SIGRTMIN+3 ", None),
        ("TERM", None),
        ("15", None),
        ("SIG_IGN", None),
        ("", None),
    ],
)
def test_numbers(name: str, number: int | None) -> None:
    assert signal_number(name) == number
