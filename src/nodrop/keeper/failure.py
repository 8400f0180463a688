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
    number = error.errno or 0
    return Failed(errno.errorcode.get(number, "EIO"), f"{what}: {os.strerror(number)}")
