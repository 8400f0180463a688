"""The engine's own small certificate authority: files in one folder, private to the user.

``cryptography`` is imported only when something must be issued: a restart that finds good files
spares its memory. For that the expiry stands beside the files, in ``issued.json``.
"""

from __future__ import annotations

import fcntl
import os
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nodrop.model.meta import format_time, parse_time

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

SERVER_NAMES = ("localhost", "127.0.0.1", "::1")
_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)
_RENEW_BEFORE_END = timedelta(days=30)
_ISSUED = "issued.json"


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the certificates and keys are, as PEM files."""

    folder: Path

    @property
    def ca_cert(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def server_cert(self) -> Path:
        return self.folder / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.folder / "server.key"

    @property
    def client_cert(self) -> Path:
        return self.folder / "client.crt"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"

    def files(self) -> tuple[Path, ...]:
        return (
            self.ca_cert,
            self.ca_key,
            self.server_cert,
            self.server_key,
            self.client_cert,
            self.client_key,
        )


def are_good(folder: Path, now: datetime) -> bool:
    """Whether ``ensure_certificates`` would leave all as it is."""
    return _leaves_are_good(Pki(folder), now)


def ensure_certificates(folder: Path, now: datetime) -> Pki:
    """Make what is missing or ends within 30 days; what is good stays as it is.

    A renewed server certificate keeps its authority, so that kubeconfigs handed out stay good.
    """
    pki = Pki(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whom a killed engine left at it finishes first
        if not _leaves_are_good(pki, now):
            _issue(pki, now)
    return pki


def server_context(pki: Pki) -> ssl.SSLContext:
    """TLS for the server: our certificate; client certificates welcome if our CA signed them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.server_cert, pki.server_key)
    context.load_verify_locations(cafile=pki.ca_cert)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` in one step by a file that only its owner may read (0600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # a left-over draft keeps its old mode
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


# Private


def _renew_at(pki: Pki, which: str) -> datetime | None:
    try:
        record = msgspec.json.decode((pki.folder / _ISSUED).read_bytes(), type=dict[str, str])
        return parse_time(record[which])
    except (OSError, KeyError, ValueError, msgspec.MsgspecError):
        return None


def _leaves_are_good(pki: Pki, now: datetime) -> bool:
    renew_at = _renew_at(pki, "renewLeavesAt")
    return _ca_is_good(pki, now) and renew_at is not None and now < renew_at and _complete(pki)


def _complete(pki: Pki) -> bool:
    return all(path.is_file() for path in pki.files())


def _ca_is_good(pki: Pki, now: datetime) -> bool:
    renew_at = _renew_at(pki, "renewAuthorityAt")
    both = pki.ca_cert.is_file() and pki.ca_key.is_file()
    return both and renew_at is not None and now < renew_at


def _issue(pki: Pki, now: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    record = {"renewLeavesAt": format_time(now + _LEAF_LIFE - _RENEW_BEFORE_END)}
    if _ca_is_good(pki, now):
        key = load_pem_private_key(pki.ca_key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        authority = x509.load_pem_x509_certificate(pki.ca_cert.read_bytes())
        kept = _renew_at(pki, "renewAuthorityAt")
        assert kept is not None
        record["renewAuthorityAt"] = format_time(kept)
    else:
        (pki.folder / _ISSUED).unlink(missing_ok=True)  # what it says is over from here on
        key, authority = _new_authority(pki, now)
        # A leaf must not outlive its authority.
        record["renewAuthorityAt"] = format_time(now + _CA_LIFE - _LEAF_LIFE)
    _new_leaf(pki.server_cert, pki.server_key, authority, key, now, client=False)
    _new_leaf(pki.client_cert, pki.client_key, authority, key, now, client=True)
    write_private(pki.folder / _ISSUED, msgspec.json.encode(record))


def _new_authority(pki: Pki, now: datetime) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("nodrop CA")
    certificate = (
        _builder(name, name, key, now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    _write_pair(pki.ca_cert, pki.ca_key, certificate, key)
    return key, certificate


def _new_leaf(
    cert_path: Path,
    key_path: Path,
    authority: x509.Certificate,
    authority_key: EllipticCurvePrivateKey,
    now: datetime,
    *,
    client: bool,
) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("nodrop-admin", "system:masters") if client else _name("nodrop")
    purpose = Purpose.CLIENT_AUTH if client else Purpose.SERVER_AUTH
    builder = (
        _builder(name, authority.subject, key, now, _LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    if not client:
        builder = builder.add_extension(_server_names(), critical=False)
    _write_pair(cert_path, key_path, builder.sign(authority_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of clients may be behind
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str, organisation: str = "") -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _server_names() -> x509.SubjectAlternativeName:
    import ipaddress

    from cryptography import x509

    names: list[x509.GeneralName] = []
    for name in SERVER_NAMES:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(names)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(
    cert_path: Path, key_path: Path, certificate: x509.Certificate, key: EllipticCurvePrivateKey
) -> None:
    from cryptography.hazmat.primitives import serialization

    encoding: Any = serialization.Encoding.PEM
    write_private(
        key_path,
        key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    write_private(cert_path, certificate.public_bytes(encoding))
