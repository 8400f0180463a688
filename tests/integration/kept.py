"""Processes for a keeper to start, and what the machine has for them."""

from __future__ import annotations

import os
import socket
from typing import Any

from nodrop.keeper.protocol import ProcessSpec

ENV = {"PATH": os.environ["PATH"]}


def has_ipv6() -> bool:
    """Whether there is ::1: in some containers IPv6 is switched off."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def spec(id: str, *argv: str, **more: Any) -> ProcessSpec:
    return ProcessSpec(**{"id": id, "argv": argv, "env": ENV, "cwd": "/tmp", **more})


def sh(id: str, script: str, **more: Any) -> ProcessSpec:
    return spec(id, "sh", "-c", script, **more)
