"""The systemd unit of an engine: its text, where it lies, and calls of systemctl."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodrop.cli.session import USAGE, Failure

_SYSTEM_FOLDER = Path("/etc/systemd/system")
_BOOTED = Path("/run/systemd/system")
SYSTEM_STATE = Path("/var/lib/nodrop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a unit says. ``arguments`` are those of ``nodrop serve`` besides --state."""

    name: str
    user: bool
    python: str
    state: Path
    folder: Path
    path: str
    arguments: Sequence[str] = ()
    run_as: str = ""

    @property
    def file(self) -> Path:
        return unit_folder(user=self.user) / self.name

    def text(self) -> str:
        """The unit file.

        KillMode=process: stopping or restarting the unit ends the control plane only. Pods, proxy
        and keeper are in the same control group and live on; the next start adopts them. So the
        group's limits must not hit them either, and a pod that runs out of memory must not end the
        engine.
        """
        command = [self.python, "-P", "-m", "nodrop", "serve", "--state", str(self.state)]
        lines = [
            "[Unit]",
            "Description=nodrop: deployments without downtime on one machine",
            *([] if self.user else ["Wants=network-online.target", "After=network-online.target"]),
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={' '.join(map(quoted, [*command, *self.arguments]))}",
            f"WorkingDirectory={_plain(str(self.folder))}",
            f"Environment={quoted(f'PATH={self.path}')}",
            "KillMode=process",
            "Restart=on-failure",
            "RestartSec=1",
            "TimeoutStopSec=30",
            "OOMPolicy=continue",
            "TasksMax=infinity",
            "LimitNOFILE=65536",
            *self._system_only(),
            "",
            "[Install]",
            f"WantedBy={'default.target' if self.user else 'multi-user.target'}",
        ]
        return "\n".join(lines) + "\n"

    def _system_only(self) -> list[str]:
        if self.user:
            return []
        found = ["AmbientCapabilities=CAP_NET_BIND_SERVICE"]
        if self.run_as:
            found.append(f"User={self.run_as}")
        if self.state == SYSTEM_STATE:
            found += [f"StateDirectory={SYSTEM_STATE.name}", "StateDirectoryMode=0700"]
        return found


def quoted(word: str) -> str:
    r"""A word of a command line in a unit.

    >>> quoted("a b%c$d")
    '"a b%%c$$d"'
    """
    escaped = _plain(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t\\\"';") or not escaped else escaped


def _plain(text: str) -> str:
    if "\n" in text:
        raise Failure(f"{text!r} can't be part of a unit file: it holds a line end", code=USAGE)
    return text.replace("%", "%%")


def is_of_user(*, user: bool, system: bool) -> bool:
    """Whose unit is meant. Raises Failure unless it is said, and said once."""
    if user == system:
        raise Failure("--user or --system?", hint="one of them; --user needs no root", code=USAGE)
    return user


def unit_folder(*, user: bool) -> Path:
    """Where units lie that an administrator, or this user, has written."""
    if not user:
        return _SYSTEM_FOLDER
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "systemd" / "user"


def unit_name(name: str) -> str:
    """``nodrop`` or ``nodrop-NAME``, with .service. Raises Failure for anything else."""
    stem = name.removesuffix(".service")
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    if not stem.startswith("nodrop") or set(stem) - allowed:
        raise Failure(
            f"--name {name}: must begin with nodrop and hold only a-z, 0-9, - and _",
            hint="e.g. --name nodrop-staging",
            code=USAGE,
        )
    return f"{stem}.service"


def systemd_runs() -> bool:
    """Whether this machine was booted with systemd and systemctl is there."""
    return _BOOTED.exists() and shutil.which("systemctl") is not None


def systemctl_line(*arguments: str, user: bool) -> str:
    """The command as a person would type it."""
    return " ".join(["systemctl", *(["--user"] if user else []), *arguments])


async def systemctl(*arguments: str, user: bool) -> None:
    """Run systemctl. Raises Failure with what it said."""
    line = systemctl_line(*arguments, user=user)
    process = await asyncio.create_subprocess_exec(
        *line.split(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise Failure(f"{line} failed: {said.decode(errors='replace').strip()}")
