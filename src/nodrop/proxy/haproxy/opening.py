"""What every configuration file begins with; pure."""

from __future__ import annotations

#: How long a process that was replaced may go on for its last connections: as long as an answer
#: may take (timeout server). Tunnels (WebSockets) that are older are cut then.
HARD_STOP = "1h"


def quote(text: str) -> str:
    """A word of a configuration file, whatever it holds."""
    return "'" + text.replace("'", "'\\''") + "'"


def render_global(admin_socket: str, max_connections: int) -> list[str]:
    """The ``global`` section.

    Our patterns are few or stand in trees: HAProxy's cache of matches costs more than it saves.
    """
    return [
        "global",
        f"  stats socket {quote('unix@' + admin_socket)} mode 600 level admin",
        "  stats timeout 1d",
        "  tune.pattern.cache-size 0",
        f"  maxconn {max_connections}",
        f"  hard-stop-after {HARD_STOP}",
    ]
