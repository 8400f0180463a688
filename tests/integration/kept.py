"""Processes for a keeper to start."""

from __future__ import annotations

import os
from typing import Any

from nodrop.keeper.protocol import ProcessSpec

ENV = {"PATH": os.environ["PATH"]}


def spec(id: str, *argv: str, **more: Any) -> ProcessSpec:
    return ProcessSpec(**{"id": id, "argv": argv, "env": ENV, "cwd": "/tmp", **more})


def sh(id: str, script: str, **more: Any) -> ProcessSpec:
    return spec(id, "sh", "-c", script, **more)
