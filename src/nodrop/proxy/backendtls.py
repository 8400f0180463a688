"""Ingresses and Secrets → how TLS is spoken to the backends of each pool; pure.

It belongs to a pool and not to a route: connections to pods are shared by all routes that lead
there. So the oldest Ingress decides for all, and one that has certificates checked before any
that does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from nodrop.events import Reason
from nodrop.model.ingressoptions import IngressOptions, TlsRule
from nodrop.model.meta import Obj
from nodrop.proxy.certificates import LARGEST_PEM_BYTES
from nodrop.proxy.findings import Finding
from nodrop.proxy.protocol import BackendTls, ServicePort
from nodrop.proxy.tls import BadPair, by_key, read_authority

#: An Ingress, its options and the pools that it leads to.
Asked = tuple[Obj, IngressOptions, Collection[ServicePort]]


@dataclass(slots=True)
class PlannedTls:
    """``authorities`` are those in use, by Secret: one that breaks stays in use."""

    tls: dict[ServicePort, BackendTls] = field(default_factory=dict)
    authorities: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def plan_backend_tls(
    asked: Iterable[Asked],
    secure: Collection[ServicePort],
    secrets: Iterable[Obj],
    before: Mapping[str, str],
) -> PlannedTls:
    """``asked`` come oldest first; ``secure`` pools speak TLS, ``before`` are authorities in use.

    Names that were not asked for are empty: the host's own, or the Service's.
    """
    planned = PlannedTls()
    named = by_key(secrets)
    rules: dict[ServicePort, TlsRule] = {}
    wishes = [
        (ingress, options.tls, pools)
        for ingress, options, pools in asked
        if options.tls is not None
    ]
    for ingress, rule, pools in sorted(wishes, key=lambda wish: not wish[1].secret):
        for pool in sorted(set(pools)):
            if rule.secret and pool not in secure:
                text = (
                    f"proxy-ssl-verify has no effect on {pool}: its port speaks no TLS; say so in "
                    "the Service's port (appProtocol: https)"
                )
                planned.findings.append(Finding.about(ingress, Reason.UNSUPPORTED, text))
                continue
            if rules.setdefault(pool, rule) != rule:
                text = f"TLS to the pods of {pool} is spoken as another Ingress asks for"
                planned.findings.append(Finding.about(ingress, Reason.UNSUPPORTED, text))
        if rule.secret and rule.secret not in planned.authorities:
            _read(planned, ingress, rule.secret, named, before)
    for pool, rule in rules.items():
        authority = planned.authorities.get(rule.secret, "")
        closed = bool(rule.secret) and not authority
        planned.tls[pool] = BackendTls(rule.name, authority, closed)
    return planned


# Private


def _read(
    planned: PlannedTls,
    ingress: Obj,
    key: str,
    secrets: Mapping[str, Obj],
    before: Mapping[str, str],
) -> None:
    try:
        planned.authorities[key] = _authority_of(secrets.get(key), key)
    except BadPair as wrong:
        text = f"metadata.annotations[proxy-ssl-secret]: {wrong}"
        if key in before:
            planned.authorities[key] = before[key]
            text += "; the one before stays in use"
        else:
            text += "; nothing is sent to pods that can't be checked: 503"
        planned.findings.append(Finding.about(ingress, Reason.CERTIFICATE_UNAVAILABLE, text))


def _authority_of(secret: Obj | None, key: str) -> str:
    if secret is None:
        raise BadPair(f"there is no Secret {key}")
    try:
        pem = read_authority(secret)
    except BadPair as wrong:
        raise BadPair(f"Secret {key}, data.{wrong}") from None
    if len(pem) > LARGEST_PEM_BYTES:
        raise BadPair(f"Secret {key}: ca.crt is larger than {LARGEST_PEM_BYTES} bytes")
    return pem
