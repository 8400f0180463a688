"""Ingresses and Secrets → which certificate is served for which host; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nodrop.events import Reason
from nodrop.model.meta import Obj
from nodrop.proxy.findings import Finding
from nodrop.proxy.protocol import Certificate
from nodrop.proxy.tls import TLS_TYPE, BadPair, Pair, by_key, read_secret

#: A chain with its key must fit one command to the proxy.
LARGEST_PEM_BYTES = 15_000

Planned = tuple[tuple[Certificate, ...], frozenset[str], list[Finding]]


def plan_certificates(
    ingresses: Sequence[Obj], secrets: Iterable[Obj], before: Iterable[Certificate]
) -> Planned:
    """The certificates, the hosts that are served with TLS, and what is wrong.

    ``ingresses`` come oldest first: of two that name a certificate for one host the first wins.
    The certificate ``before`` of a Secret that is missing or broken now stays in use.
    """
    work = _Work(by_key(secrets), {one.secret: one for one in before})
    for ingress in ingresses:
        for index, entry in enumerate((ingress.get("spec") or {}).get("tls") or ()):
            work.add(ingress, f"spec.tls[{index}]", entry)
    hosts_of: dict[str, list[str]] = {}
    for host, secret in work.secret_of.items():
        if secret:
            hosts_of.setdefault(secret, []).append(host)
    certificates = tuple(
        Certificate(secret, tuple(sorted(hosts)), work.pems[secret])
        for secret, hosts in sorted(hosts_of.items())
    )
    return certificates, frozenset(work.secret_of), work.findings


# Private


@dataclass(slots=True)
class _Work:
    secrets: Mapping[str, Obj]
    before: Mapping[str, Certificate]
    #: Host → Secret; "" is the certificate that is served where there is no other.
    secret_of: dict[str, str] = field(default_factory=dict)
    pems: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, ingress: Obj, path: str, entry: Obj) -> None:
        hosts = [str(host).lower() for host in entry.get("hosts") or ()]
        name = entry.get("secretName")
        if not name:
            for host in hosts:
                self.secret_of.setdefault(host, "")
            return
        secret = f"{ingress['metadata'].get('namespace', '')}/{name}"
        try:
            pair = _pair_of(self.secrets.get(secret), secret)
        except BadPair as wrong:
            self._report(ingress, f'{path}.secretName: Invalid value: "{name}": {wrong}', secret)
            if (kept := self.before.get(secret)) is not None:
                self._claim(hosts or kept.hosts, secret, kept.pem)
            return
        self._claim(hosts or list(pair.names), secret, pair.pem)
        for index, host in enumerate(hosts):
            if not pair.covers(host):
                text = f"the certificate in Secret {secret} is for {', '.join(pair.names)}"
                where = f'{path}.hosts[{index}]: Invalid value: "{host}"'
                self._tell(ingress, f"{where}: {text}: clients will refuse it")

    def _claim(self, hosts: Iterable[str], secret: str, pem: str) -> None:
        self.pems[secret] = pem
        for host in hosts:
            self.secret_of.setdefault(host, secret)

    def _report(self, ingress: Obj, text: str, secret: str) -> None:
        kept = "the one before stays in use" if secret in self.before else "a self-signed one is"
        self._tell(ingress, f"{text}; {kept}" + ("" if secret in self.before else " served"))

    def _tell(self, ingress: Obj, text: str) -> None:
        self.findings.append(Finding.about(ingress, Reason.CERTIFICATE_UNAVAILABLE, text))


def _pair_of(secret: Obj | None, key: str) -> Pair:
    if secret is None:
        raise BadPair(f"there is no Secret {key}")
    kind = secret.get("type") or "Opaque"
    if kind != TLS_TYPE:
        raise BadPair(f"Secret {key} is of type {kind}, it must be {TLS_TYPE}")
    try:
        pair = read_secret(secret)
    except BadPair as wrong:
        raise BadPair(f"Secret {key}, data.{wrong}") from None
    if len(pair.pem) > LARGEST_PEM_BYTES:
        raise BadPair(f"Secret {key}: chain and key are larger than {LARGEST_PEM_BYTES} bytes")
    return pair
