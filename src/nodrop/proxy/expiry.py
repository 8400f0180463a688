"""Certificates of Ingresses that expire: two weeks before, and from then on; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from nodrop.events import Reason
from nodrop.model.ingressclass import is_ours
from nodrop.model.meta import Obj
from nodrop.proxy.findings import Finding
from nodrop.proxy.tls import BadPair, by_key, read_secret

_WARN_BEFORE = timedelta(days=14)
_DAY = timedelta(days=1)


def plan_expiry(
    ingresses: Iterable[Obj], classes: Iterable[Obj], secrets: Iterable[Obj], now: datetime
) -> list[Finding]:
    """What is to be told ``now`` (with a time zone); another text each day, so that it is told
    again. A Secret that can't be read is somebody else's business."""
    present = by_key(secrets)
    known = tuple(classes)
    findings: dict[Finding, None] = {}
    for ingress in ingresses:
        if not is_ours(ingress, known):
            continue
        for path, name, secret in _named(ingress, present):
            try:
                said = _said(read_secret(secret).expires, now)
            except BadPair:
                continue
            if said is not None:
                text = f'{path}: "{name}": the certificate {said[1]}'
                findings[Finding.about(ingress, said[0], text)] = None
    return list(findings)


# Private


def _named(ingress: Obj, secrets: dict[str, Obj]) -> Iterator[tuple[str, str, Obj]]:
    """(field path, name, Secret) of those that the Ingress names and that are there; each once."""
    namespace = ingress["metadata"].get("namespace", "")
    seen: set[str] = set()
    for index, entry in enumerate((ingress.get("spec") or {}).get("tls") or ()):
        name = entry.get("secretName") or ""
        secret = secrets.get(f"{namespace}/{name}")
        if secret is not None and name not in seen:
            seen.add(name)
            yield f"spec.tls[{index}].secretName", name, secret


def _said(expires: datetime, now: datetime) -> tuple[Reason, str] | None:
    at = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    if now >= expires:
        text = f"expired {_days(now - expires)} ago, at {at}: clients refuse it"
        return Reason.CERTIFICATE_EXPIRED, text
    if expires - now <= _WARN_BEFORE:
        text = f"expires in {_days(expires - now)}, at {at}: clients will refuse it then"
        return Reason.CERTIFICATE_EXPIRING, text
    return None


def _days(span: timedelta) -> str:
    count = span // _DAY
    return "less than a day" if not count else "1 day" if count == 1 else f"{count} days"
