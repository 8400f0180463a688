"""The process that makes certificates: ``python -m nodrop.wiring.issue PKI DEFAULT``."""

from __future__ import annotations

import sys
from pathlib import Path

from nodrop.apiserver.certificates import ensure_certificates, write_private
from nodrop.clock import SystemClock
from nodrop.proxy.haproxy.default_certificate import self_signed


def issue(pki: Path, default: Path) -> None:
    """Make what is missing or ends soon: the API's in ``pki``, the proxy's at ``default``."""
    ensure_certificates(pki, SystemClock().now())
    if not default.exists():
        default.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(default, self_signed().encode())


if __name__ == "__main__":
    issue(*map(Path, sys.argv[1:]))
