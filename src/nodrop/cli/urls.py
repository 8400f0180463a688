"""Where an Ingress can be reached. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from nodrop.model.meta import Obj


def urls_of(ingresses: Iterable[Obj], bases: Sequence[str]) -> list[str]:
    """One URL a host and path, on the first of ``bases`` (``http://127.0.0.1:8080``).

    A rule with a host is printed with that host; ``*.localhost`` and real names resolve by
    themselves, others need an entry in /etc/hosts or a Host header.
    """
    if not bases:
        return []
    base = urlsplit(bases[0])
    port = "" if base.port in (None, 80) else f":{base.port}"
    found: list[str] = []
    for ingress in ingresses:
        spec = ingress["spec"]
        if spec.get("defaultBackend"):
            found.append(f"http://{base.hostname}{port}/")
        for rule in spec.get("rules") or ():
            host = rule.get("host") or base.hostname
            for path in (rule.get("http") or {}).get("paths") or ():
                found.append(f"http://{host}{port}{path.get('path') or '/'}")
    return list(dict.fromkeys(found))
