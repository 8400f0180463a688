"""Failed: what a request to the keeper ends in when it can't be done."""

from __future__ import annotations

import errno
import os


class Failed(Exception):
    """One clear sentence, and an errno name that a program can act on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def failed(what: str, error: OSError) -> Failed:
    """``what`` was attempted; the reason is the operating system's."""
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    return Failed(errno.errorcode.get(number, "EIO"), f"{what}: {reason}")
