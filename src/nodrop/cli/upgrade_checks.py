"""What is looked at before anything is replaced. Pure, but for reading /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nodrop
from nodrop.keeper.client import protocol_trouble
from nodrop.keeper.protocol import KeeperInfo
from nodrop.model.meta import Obj
from nodrop.store.migrations import SCHEMA_VERSION

#: What engines wrote into state files before they said so in engine.json.
_FIRST_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A control plane that runs, and how it was started: another one takes its place like that."""

    engine: Obj
    pid: int
    version: str
    store: int
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    unit: str
    user_unit: bool
    keeper_trouble: str

    @staticmethod
    def of(engine: Obj, keeper: KeeperInfo) -> Running:
        pid = engine["pids"]["engine"]
        proc = Path(f"/proc/{pid}")
        unit, user = unit_of((proc / "cgroup").read_text())
        return Running(
            engine=engine,
            pid=pid,
            version=engine["versions"]["nodrop"],
            store=store_format(engine),
            argv=tuple(_words(proc / "cmdline")),
            environment=dict(
                word.split("=", 1) for word in _words(proc / "environ") if "=" in word
            ),
            cwd=os.readlink(proc / "cwd"),
            unit=unit,
            user_unit=user,
            keeper_trouble=protocol_trouble(keeper),
        )


def store_format(engine: Obj) -> int:
    """The format of the state file that an engine works on."""
    found: int = engine["versions"].get("store", _FIRST_FORMAT)
    return found


def refusals_of(engine: Obj, keeper_trouble: str) -> list[str]:
    """Why this nodrop can't take the place of a running control plane; nothing was touched yet."""
    found = [keeper_trouble] if keeper_trouble else []
    if store_format(engine) > SCHEMA_VERSION:
        found.append(
            f"the state file has format {store_format(engine)}, written by nodrop "
            f"{engine['versions']['nodrop']}; nodrop {nodrop.__version__} reads up to "
            f"{SCHEMA_VERSION}: files of a newer format can't go back"
        )
    return found


def refusal_of_proxy(engine: Obj) -> str:
    """Why a running control plane can't replace its proxy; else nothing."""
    if "proxy" in engine:
        return ""
    return (
        f"the running control plane (nodrop {engine['versions']['nodrop']}) can't replace its "
        "proxy: replace the control plane first (nodrop upgrade)"
    )


def serve_command(argv: Sequence[str], *, python: str, root: Path) -> list[str]:
    """The command of a running engine, for the nodrop of ``python``.

    >>> serve_command(["/old/bin/nodrop", "serve", "--bind=::1"], python="/new", root=Path("/s"))
    ['/new', '-P', '-m', 'nodrop', 'serve', '--bind=::1', '--state', '/s']
    """
    arguments = list(argv[argv.index("serve") + 1 :]) if "serve" in argv else []
    if not any(word == "--state" or word.startswith("--state=") for word in arguments):
        arguments += ["--state", str(root)]
    return [python, "-P", "-m", "nodrop", "serve", *arguments]


def unit_of(cgroup: str) -> tuple[str, bool]:
    """The systemd unit that a process is of, and whether of a user's; ("", False) if of none.

    Only a unit named nodrop*: a terminal or a session is one too.
    """
    for line in cgroup.splitlines():
        parts = line.rpartition(":")[2].split("/")
        if parts[-1].startswith("nodrop") and parts[-1].endswith(".service"):
            return parts[-1], any(part.startswith("user@") for part in parts)
    return "", False


def _words(path: Path) -> list[str]:
    return [os.fsdecode(word) for word in path.read_bytes().split(b"\0") if word]
