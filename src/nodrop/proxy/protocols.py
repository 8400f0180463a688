"""Which protocol a Service port speaks: by its ``appProtocol``, else by its name; pure."""

from __future__ import annotations

from collections.abc import Mapping

from nodrop.model.meta import Obj
from nodrop.proxy.protocol import AppProtocol

_HTTP2: tuple[str, ...] = ("grpc", "h2c", "http2", "kubernetes.io/h2c")
_HTTP1: tuple[str, ...] = ("http", "http1", "ws", "kubernetes.io/ws", "grpc-web")
_TLS: tuple[str, ...] = ("https", "wss", "kubernetes.io/wss")

_APP_PROTOCOLS: Mapping[str, AppProtocol] = {
    **dict.fromkeys(_HTTP1, "http"),
    **dict.fromkeys(_HTTP2, "h2c"),
    **dict.fromkeys(_TLS, "https"),
}
#: Names say the protocol before the first ``-``. Any other name, and none, is HTTP.
_NAMES: Mapping[str, AppProtocol] = {
    **{name: found for name, found in _APP_PROTOCOLS.items() if "/" not in name},
    **dict.fromkeys(("tcp", "tls", "mysql", "postgres", "postgresql", "redis", "mongo"), "tcp"),
    **dict.fromkeys(("amqp", "kafka", "mqtt", "nats", "memcached", "smtp", "ssh"), "tcp"),
}


def protocol_of(port: Obj) -> AppProtocol:
    """What is spoken at a port of a Service.

    An ``appProtocol`` that is no kind of HTTP is carried as it is, whatever its name.

    >>> protocol_of({"name": "grpc-api"}), protocol_of({"appProtocol": "mysql"}), protocol_of({})
    ('h2c', 'tcp', 'http')
    """
    return said_protocol(port) or "http"


def said_protocol(port: Obj) -> AppProtocol | None:
    """The same, None where neither ``appProtocol`` nor the name says anything.

    >>> said_protocol({"name": "main"})
    """
    if app_protocol := port.get("appProtocol"):
        return _APP_PROTOCOLS.get(app_protocol.lower(), "tcp")
    name = (port.get("name") or "").lower()
    return _NAMES.get(name) or _NAMES.get(name.partition("-")[0])
