"""Certificates out of Secrets: what a pair of PEM texts is good for; pure.

``cryptography`` is imported with the first of them: 10 MB that an engine without can spare.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from nodrop.model.meta import Obj

if TYPE_CHECKING:
    from cryptography import x509

TLS_TYPE = "kubernetes.io/tls"


class BadPair(ValueError):
    """A Secret whose certificate can't be served; the message names the key and never its value."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain with its key as one PEM text, the DNS names it is good for, and until
    when: the earliest end in the chain."""

    pem: str = field(repr=False)
    names: tuple[str, ...]
    expires: datetime

    def covers(self, host: str) -> bool:
        wildcard = "*." + host.partition(".")[2]
        return host in self.names or wildcard in self.names


def by_key(secrets: Iterable[Obj]) -> dict[str, Obj]:
    """Secrets by what Ingresses call them: ``namespace/name``."""
    return {
        f"{secret['metadata'].get('namespace', '')}/{secret['metadata']['name']}": secret
        for secret in secrets
    }


def read_secret(secret: Obj) -> Pair:
    """The certificate of a Secret. Raises BadPair, saying what is wrong."""
    data = secret.get("data") or {}
    return _read_pair(str(data.get("tls.crt") or ""), str(data.get("tls.key") or ""))


def read_authority(secret: Obj) -> str:
    """The certificates under ``ca.crt`` as PEM. Raises BadPair, saying what is wrong."""
    return _read_authority(str((secret.get("data") or {}).get("ca.crt") or ""))


# Private


@lru_cache(maxsize=128)
def _read_authority(chain_base64: str) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    chain = _certificates("ca.crt", _decoded("ca.crt", chain_base64))
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain).decode()


@lru_cache(maxsize=512)
def _read_pair(chain_base64: str, key_base64: str) -> Pair:
    """Cached: every new table asks again, and reading takes a while."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )

    chain = _certificates("tls.crt", _decoded("tls.crt", chain_base64))
    key_pem = _decoded("tls.key", key_base64)
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError:
        raise BadPair("tls.key: the private key is encrypted; it must be plain PEM") from None
    except Exception:  # whatever the library says may quote the key
        raise BadPair("tls.key: not a private key in PEM") from None
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != chain[0].public_key().public_bytes(*spki):
        raise BadPair("tls.key: the private key does not belong to the first certificate")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    expires = min(one.not_valid_after_utc for one in chain)
    return Pair((public + private).decode(), _names(chain[0]), expires)


def _decoded(name: str, text: str) -> bytes:
    if not text:
        raise BadPair(f"{name}: missing")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadPair(f"{name}: not base64") from None


def _certificates(name: str, pem: bytes) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise BadPair(f"{name}: not a certificate in PEM") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))
