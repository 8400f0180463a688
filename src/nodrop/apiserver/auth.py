"""Who speaks to the API: the holder of a token, or of a certificate that our CA signed."""

from __future__ import annotations

import hmac
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodrop.apiserver.accounts import AccountTokens
from nodrop.apiserver.certificates import write_private
from nodrop.apiserver.users import Users
from nodrop.model.errors import ApiError
from nodrop.model.rbac import MASTERS, User

#: The owner of the engine: whoever can read its state folder.
OWNER = User("nodrop-admin", (MASTERS,))


@dataclass(frozen=True, slots=True)
class Auth:
    """Tells who a credential belongs to. ``token`` is the owner's."""

    token: str
    users: Users | None = None
    accounts: AccountTokens | None = None

    def user(self, authorization: str, peer_certificate: object) -> User | None:
        """The user of a good credential, or None.

        ``peer_certificate`` is what TLS has verified against our CA, empty or None without one.
        Its common name is the user's, its organisations are the groups.
        """
        if isinstance(peer_certificate, dict) and peer_certificate:
            return _of_certificate(peer_certificate)
        scheme, _, token = authorization.partition(" ")
        return self.bearer(token.strip()) if scheme.lower() == "bearer" else None

    def bearer(self, token: str) -> User | None:
        """The user of a token that is good here, or None."""
        # aiohttp hands on bytes that are no UTF-8 as half surrogates: they match no token.
        if hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode()):
            return OWNER
        if token.count(".") == 2:  # a JSON Web Token; those of users have no dots
            return self.accounts.user(token) if self.accounts is not None else None
        return self.users.by_token(token) if self.users is not None else None


def ensure_token(path: Path) -> str:
    """The token kept at ``path`` (0600); a new one of 256 bits if there is none."""
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        token = ""
    if not token:
        token = secrets.token_urlsafe(32)
        write_private(path, f"{token}\n".encode())
    return token


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def peer_certificate(connection: object) -> object:
    """The verified client certificate of a TLS connection, or None."""
    if isinstance(connection, (ssl.SSLObject, ssl.SSLSocket)):
        return connection.getpeercert()
    return None


# Private


def _of_certificate(certificate: Mapping[str, Any]) -> User | None:
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in pairs if key == "commonName"]
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return User(names[-1], groups) if names else None
