"""The state folder: where everything of one engine lives."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

#: sun_path holds 108 bytes; HAProxy appends a temporary suffix to the paths it binds.
_LONGEST_SOCKET_FOLDER = 80
#: Where a new engine's API listens unless another one does.
USUAL_API_PORT = 6443


@dataclass(frozen=True, slots=True)
class StateDir:
    """Paths inside a state folder. Creates nothing."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "nodrop.db"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def engine_json(self) -> Path:
        return self.root / "engine.json"

    @property
    def lock(self) -> Path:
        return self.root / "engine.lock"

    @property
    def engine_log(self) -> Path:
        return self.root / "engine.log"

    @property
    def access_log(self) -> Path:
        return self.root / "access.log"

    @property
    def log_socket(self) -> Path:
        """Where the engine takes the proxy's lines about requests."""
        return self.sockets / "requests.sock"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def users(self) -> Path:
        """Further users of the API: names, groups, hashes of tokens."""
        return self.pki / "users.json"

    @property
    def account_key(self) -> Path:
        """Signs the tokens of service accounts."""
        return self.pki / "sa.key"

    @property
    def keeper(self) -> Path:
        """The keeper's records, one file a process."""
        return self.root / "keeper"

    @property
    def pods(self) -> Path:
        """Logs and temporary folders of pods: ``<uid>/logs/<container>/<n>.log``, ``<uid>/tmp``."""
        return self.root / "pods"

    @property
    def proxy(self) -> Path:
        return self.root / "proxy"

    @property
    def sockets(self) -> Path:
        """Folder (0700) for unix sockets; outside the state folder where that path is too long.

        Then in the one temporary folder whose path is short, and the same for whoever asks:
        ``$TMPDIR`` may be long itself, and another in the next shell.
        """
        inside = self.root / "run"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_FOLDER:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path("/tmp") / f"nodrop-{os.getuid()}-{digest}"

    @property
    def keeper_socket(self) -> Path:
        return self.sockets / "keeper.sock"


def default_state_dir() -> Path:
    """``$NODROP_STATE``, else ``$XDG_STATE_HOME/nodrop``, else ``~/.local/state/nodrop``."""
    if chosen := os.environ.get("NODROP_STATE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser().absolute() / "nodrop"
