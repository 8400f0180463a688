"""Transport failures in the words that a kubelet uses, because people search for them. Pure."""

from __future__ import annotations

import errno
import os
import ssl
from socket import gaierror


def transport_failure(error: Exception, where: str) -> str:
    """Why nobody answered at ``where`` (host:port), as upstream's events say it.

    >>> transport_failure(ConnectionRefusedError(errno.ECONNREFUSED, ""), "127.0.0.1:80")
    'dial tcp 127.0.0.1:80: connect: connection refused'
    """
    cause = _cause(error)
    if isinstance(cause, gaierror):
        return f"dial tcp: lookup {where.rpartition(':')[0]}: no such host"
    if isinstance(cause, ssl.SSLError):
        if cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            return "http: server gave HTTP response to HTTPS client"
        return f"tls: {(cause.reason or str(cause)).lower().replace('_', ' ')}"
    if isinstance(cause, OSError) and cause.errno:
        text = os.strerror(cause.errno).lower()
        if cause.errno in (errno.ECONNRESET, errno.EPIPE):
            return f"read: {text}"
        return f"dial tcp {where}: connect: {text}"
    if _is_hang_up(cause):
        return "EOF"
    return str(cause) or type(cause).__name__


def is_refused(error: Exception) -> bool:
    """Whether nothing listens: the connection was refused, or each of those that were tried."""
    cause = _cause(error)
    return isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED


def _cause(error: Exception) -> Exception:
    """The operating system's own error inside a client library's."""
    inner = getattr(error, "os_error", None)
    if not isinstance(inner, Exception):
        return error
    if isinstance(inner, OSError) and not inner.errno and inner.__cause__ is not None:
        return _cause(inner.__cause__) if isinstance(inner.__cause__, Exception) else inner
    return inner


def _is_hang_up(error: Exception) -> bool:
    """The server closed the connection without an answer."""
    return type(error).__name__ in ("ServerDisconnectedError", "IncompleteReadError")
