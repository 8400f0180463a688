"""JSON Web Signatures (RFC 7515) by ES256, with one key of the engine's own.

``cryptography`` is imported with the first token: it is 10 MB that other engines do without.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nodrop.apiserver.certificates import write_private
from nodrop.model.meta import Obj

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey

#: The length of either half of a signature by P-256 (RFC 7518, 3.4).
_HALF_BYTES = 32


class SigningKey:
    """The key in a file (0600), made with the first signature."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded: tuple[EllipticCurvePrivateKey, str] | None = None

    def sign(self, claims: Obj) -> str:
        """The compact form of ``claims`` with their signature."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        key, id = self._key()
        header = {"alg": "ES256", "kid": id}
        signed = b".".join(_encoded(msgspec.json.encode(part)) for part in (header, claims))
        halves = decode_dss_signature(key.sign(signed, _algorithm()))
        signature = b"".join(half.to_bytes(_HALF_BYTES, "big") for half in halves)
        return b".".join((signed, _encoded(signature))).decode()

    def verified(self, token: str) -> Obj | None:
        """The claims of a token that this key has signed, else None."""
        try:
            signed, _, signature = token.encode().rpartition(b".")
            header, claims = (msgspec.json.decode(_decoded(part)) for part in signed.split(b"."))
            raw = _decoded(signature)
        except (ValueError, msgspec.MsgspecError):
            return None
        if not isinstance(header, dict) or not isinstance(claims, dict):
            return None
        if len(raw) != 2 * _HALF_BYTES or not self._path.exists():
            return None
        is_ours = header.get("alg") == "ES256" and self._is_signed(signed, raw, header.get("kid"))
        return claims if is_ours else None

    def public(self) -> Obj:
        """The key by which others verify, as a JSON Web Key (RFC 7517); made if there is none."""
        key, id = self._key()
        numbers = key.public_key().public_numbers()
        x, y = (_encoded(at.to_bytes(_HALF_BYTES, "big")).decode() for at in (numbers.x, numbers.y))
        point = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        return {"use": "sig", "alg": "ES256", "kid": id, **point}

    # Private

    def _is_signed(self, signed: bytes, raw: bytes, id: object) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        key, own_id = self._key()
        if id != own_id:
            return False
        r, s = (int.from_bytes(half, "big") for half in (raw[:_HALF_BYTES], raw[_HALF_BYTES:]))
        try:
            key.public_key().verify(encode_dss_signature(r, s), signed, _algorithm())
        except InvalidSignature:
            return False
        return True

    def _key(self) -> tuple[EllipticCurvePrivateKey, str]:
        """The key, and the name that headers give it."""
        if self._loaded is None:
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

            key = _read_key(self._path) if self._path.exists() else _new_key(self._path)
            public = key.public_key()
            der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self._loaded = key, _encoded(hashlib.sha256(der).digest()).decode()
        return self._loaded


# Private


def _algorithm() -> ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), f"{path} holds another sort of key"
    return key


def _new_key(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
