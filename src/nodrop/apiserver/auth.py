"""Who may speak to the API: the holder of the token, or of a certificate that our CA signed."""

from __future__ import annotations

import hmac
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

from nodrop.apiserver.certificates import write_private
from nodrop.model.errors import ApiError


@dataclass(frozen=True, slots=True)
class Auth:
    """Decides on credentials. There is one user, who may do everything."""

    token: str

    def admits(self, authorization: str, peer_certificate: object) -> bool:
        """Is one of the credentials good?

        ``peer_certificate`` is what TLS has verified against our CA, empty or None without one.
        """
        if peer_certificate:
            return True
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            # aiohttp hands on bytes that are no UTF-8 as half surrogates: they match no token.
            token.strip().encode("utf-8", "surrogateescape"),
            self.token.encode(),
        )


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
