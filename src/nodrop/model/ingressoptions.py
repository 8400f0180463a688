"""What annotations say about an Ingress; pure.

The names under ``nodrop.dev/`` are ours; those that ingress-nginx has made common mean the same
under ``nginx.ingress.kubernetes.io/``. Where both are set, ours counts. Every name, its default
and meaning: docs/reference/ingress-annotations.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nodrop.model.meta import Obj, annotations_of

OURS, NGINX = "nodrop.dev/", "nginx.ingress.kubernetes.io/"

#: Weights are counted in this many parts.
WEIGHT_PARTS = 10_000

_Value = TypeVar("_Value")


class _Bad(ValueError):
    """What the value should be."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An annotation that has not the effect that was asked for; the Ingress serves without it."""

    name: str
    value: str
    text: str
    unknown: bool = False

    def __str__(self) -> str:
        return f'metadata.annotations[{self.name}]: "{self.value}": {self.text}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie that keeps a client at its pod. ``attributes`` begins with ``;``."""

    name: str
    attributes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRule:
    """Who goes to the canary: ``weight`` of WEIGHT_PARTS requests, or as a header says.

    ``header_value`` empty: ``always`` and ``never``.
    """

    weight: int = 0
    header: str = ""
    header_value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRule:
    """How TLS is spoken to pods. ``name`` empty: the Service's own. ``secret`` is
    namespace/name; empty: certificates are not checked."""

    name: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressOptions:
    """All annotations together. None and empty: as without the annotation."""

    server_timeout_ms: int | None = None
    body_limit_bytes: int | None = None
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    hsts_max_age_s: int | None = None
    rewrite_target: str = ""
    use_regex: bool = False
    cookie: Cookie | None = None
    canary: CanaryRule | None = None
    upstream_host: str = ""
    single_try: bool = False
    tls: TlsRule | None = None
    problems: tuple[Problem, ...] = field(default=(), compare=False)


def read_options(ingress: Obj) -> IngressOptions:
    """The options of an Ingress, with everything that is wrong about them."""
    if not any(key.startswith((OURS, NGINX)) for key in annotations_of(ingress)):
        return IngressOptions()
    read = _Read(_by_name(annotations_of(ingress)))
    timeouts = [read.one(name, _duration_ms, None) for name in _TIMEOUTS]
    options = IngressOptions(
        server_timeout_ms=max((ms for ms in timeouts if ms is not None), default=None),
        body_limit_bytes=read.one("proxy-body-size", _size_bytes, 0) or None,
        ssl_redirect=read.one("ssl-redirect", _boolean, True),
        force_ssl_redirect=read.one("force-ssl-redirect", _boolean, False),
        hsts_max_age_s=read.one("hsts-max-age", _count, 0) or None,
        rewrite_target=read.one("rewrite-target", _target, ""),
        use_regex=read.one("use-regex", _boolean, False),
        cookie=_cookie(read),
        canary=_canary(read),
        upstream_host=read.one("upstream-vhost", _host, ""),
        single_try=read.one("proxy-next-upstream", _next_upstream, False),
        tls=_tls(read, ingress["metadata"].get("namespace", "")),
    )
    read.one("proxy-connect-timeout", _fixed_connect, None)
    read.one("backend-protocol", _backend_protocol, None)
    problems = (*read.problems, *_unknown(annotations_of(ingress)))
    return replace(options, problems=problems)


def is_canary(ingress: Obj) -> bool:
    """Whether the Ingress only adds to another one's rules."""
    return read_options(ingress).canary is not None


_TIMEOUTS = ("proxy-read-timeout", "proxy-send-timeout")
#: Every name → whether ingress-nginx has it too.
NAMES: Mapping[str, bool] = {
    **dict.fromkeys(_TIMEOUTS, True),
    "proxy-connect-timeout": True,
    "proxy-body-size": True,
    "ssl-redirect": True,
    "force-ssl-redirect": True,
    "hsts-max-age": False,
    "rewrite-target": True,
    "use-regex": True,
    "affinity": True,
    "session-cookie-name": True,
    "session-cookie-path": True,
    "session-cookie-max-age": True,
    "session-cookie-samesite": True,
    "session-cookie-secure": True,
    "canary": True,
    "canary-weight": True,
    "canary-weight-total": True,
    "canary-by-header": True,
    "canary-by-header-value": True,
    "backend-protocol": True,
    "upstream-vhost": True,
    "proxy-next-upstream": True,
    "proxy-ssl-verify": True,
    "proxy-ssl-secret": True,
    "proxy-ssl-name": True,
    "proxy-ssl-server-name": True,
}


# Private


@dataclass(slots=True)
class _Read:
    """Reads values and collects what is wrong with them."""

    found: Mapping[str, tuple[str, str]]
    problems: list[Problem] = field(default_factory=list)

    def one(self, name: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        if name not in self.found:
            return default
        key, value = self.found[name]
        try:
            return parse(value.strip())
        except _Bad as wrong:
            self.problems.append(Problem(key, value, str(wrong)))
            return default


def _by_name(annotations: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Short name → (whole name, value); ours last, so that it counts."""
    found = {}
    for prefix in (NGINX, OURS):
        for key, value in annotations.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and (prefix == OURS or NAMES.get(name)):
                found[name] = (key, str(value))
    return found


def _unknown(annotations: Mapping[str, str]) -> list[Problem]:
    text = "nodrop does not know this annotation: it has no effect"
    return [
        Problem(key, str(value), text, unknown=True)
        for key, value in sorted(annotations.items())
        if (key.startswith(OURS) and key.removeprefix(OURS) not in NAMES)
        or (key.startswith(NGINX) and not NAMES.get(key.removeprefix(NGINX)))
    ]


def _cookie(read: _Read) -> Cookie | None:
    name = read.one("session-cookie-name", _cookie_name, "INGRESSCOOKIE")
    path = read.one("session-cookie-path", _cookie_path, "/")
    age_s = read.one("session-cookie-max-age", _count, None)
    same_site = read.one("session-cookie-samesite", _same_site, "")
    secure = read.one("session-cookie-secure", _boolean, False)
    if not read.one("affinity", _affinity, False):
        return None
    parts = [f"Path={path}", "HttpOnly"]
    parts += [f"Max-Age={age_s}"] if age_s is not None else []
    parts += [f"SameSite={same_site}"] if same_site else []
    parts += ["Secure"] if secure else []
    return Cookie(name=name, attributes="".join(f"; {part}" for part in parts))


def _canary(read: _Read) -> CanaryRule | None:
    total = max(1, read.one("canary-weight-total", _count, 100))
    weight = read.one("canary-weight", _count, 0)
    if weight > total:
        key, value = read.found["canary-weight"]
        read.problems.append(Problem(key, value, f"must be between 0 and {total}"))
        weight = 0
    rule = CanaryRule(
        weight=weight * WEIGHT_PARTS // total,
        header=read.one("canary-by-header", _header_name, ""),
        header_value=read.one("canary-by-header-value", _header_value, ""),
    )
    return rule if read.one("canary", _boolean, False) else None


def _tls(read: _Read, namespace: str) -> TlsRule | None:
    """None: nothing is asked for. A name is sent only where it is asked for or checked.

    A Secret whose name can't be read is one that is not there: nobody is trusted then.
    """
    verify = read.one("proxy-ssl-verify", _on_off, False)
    secret = read.one("proxy-ssl-secret", _secret_name, "")
    name = read.one("proxy-ssl-name", _dns_name, "")
    sent = read.one("proxy-ssl-server-name", _on_off, False)
    if verify and "proxy-ssl-secret" not in read.found:
        key, value = read.found["proxy-ssl-verify"]
        text = "has no effect without proxy-ssl-secret: its ca.crt says who is trusted"
        read.problems.append(Problem(key, value, text))
        verify = False
    if not verify and not name and not sent:
        return None
    whole = secret if "/" in secret else f"{namespace}/{secret}"
    return TlsRule(name=name, secret=whole if verify else "")


def _on_off(text: str) -> bool:
    if text not in ("on", "off"):
        raise _Bad('must be "on" or "off"')
    return text == "on"


def _secret_name(text: str) -> str:
    if not re.fullmatch(r"(?:[a-z0-9.-]{1,63}/)?[a-z0-9.-]{1,253}", text):
        raise _Bad("must be NAMESPACE/NAME of a Secret, or its NAME")
    return text


def _dns_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", text.lower()):
        raise _Bad("must be a host name")
    return text.lower()


def _host(text: str) -> str:
    name, colon, port = text.partition(":")
    if colon and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise _Bad("must be a host, with or without a port")
    return _dns_name(name) + colon + port


def _next_upstream(text: str) -> bool:
    if text != "off":
        raise _Bad(
            'has no effect unless it is "off": else a safe request goes to another pod when its '
            "connection fails, any other one when connecting fails"
        )
    return True


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise _Bad('must be "true" or "false"')
    return text == "true"


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise _Bad("must be a whole number from 0 on")
    return int(text)


_UNITS_MS = {"": 1000, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def _duration_ms(text: str) -> int:
    found = re.fullmatch(r"(\d{1,7})(ms|s|m|h|)", text)
    shown = "must be a number of seconds (60) or have a unit: ms, s, m, h (5m), at most 24h"
    if not found:
        raise _Bad(shown)
    total_ms = int(found[1]) * _UNITS_MS[found[2]]
    if not 1 <= total_ms <= 24 * _UNITS_MS["h"]:
        raise _Bad(shown)
    return total_ms


def _size_bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([kKmMgG]?)", text)
    if not found:
        raise _Bad("must be a number of bytes or have a unit: k, m, g (8m); 0 is no limit")
    return int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[found[2].lower()]


def _target(text: str) -> str:
    if not re.fullmatch(r"/(?:[A-Za-z0-9/_.~%@:,!&=+;*'-]|\$[0-9]){0,1000}", text):
        raise _Bad(
            "must be a path that begins with /, with at most 1000 letters; $1 to $9 are groups of "
            "the rule's path"
        )
    return text


def _cookie_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise _Bad("must be at most 64 letters, digits, - and _")
    return text


def _cookie_path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9/_.~%@:-]{0,1000}", text):
        raise _Bad("must be a path that begins with /, with at most 1000 letters")
    return text


def _same_site(text: str) -> str:
    if text not in ("Strict", "Lax", "None"):
        raise _Bad("must be Strict, Lax or None")
    return text


def _affinity(text: str) -> bool:
    if text != "cookie":
        raise _Bad('must be "cookie"')
    return True


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", text):
        raise _Bad("must be a header name: at most 64 letters, digits and -")
    return text.lower()


def _header_value(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise _Bad("must be at most 64 letters, digits, - and _")
    return text


def _fixed_connect(text: str) -> None:
    _duration_ms(text)
    raise _Bad("has no effect: a connection to a pod is tried for 5 s, then with the next pod")


def _backend_protocol(text: str) -> None:
    if text.upper() not in ("HTTP", "AUTO_HTTP"):
        raise _Bad("has no effect: name the protocol in the Service's port, as appProtocol")
