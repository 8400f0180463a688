"""What names, labels, keys and ports may look like, and upstream's sentences for what may not.

Every check returns the sentences that apply, so an empty list means the text is fine.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_PORT_NAME = re.compile("[-a-z0-9]+")
_UID = "[-.A-Za-z0-9]+"
_UID_RE = re.compile(_UID)
_MOST_PATH_BYTES = 4096

_LABEL_RE = re.compile(_LABEL)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN)
_LABEL_1035_RE = re.compile(_LABEL_1035)
_QUALIFIED_RE = re.compile(_QUALIFIED)
_LABEL_VALUE_RE = re.compile(_LABEL_VALUE)
_WILDCARD_RE = re.compile(_WILDCARD)
_CONFIG_KEY_RE = re.compile(_CONFIG_KEY)
_HEADER_RE = re.compile(_HEADER)
_VARIABLE_RE = re.compile("[ -<>-~]+")

PORT_RANGE = "must be between 1 and 65535, inclusive"
EMPTY = "must be non-empty"


def _must_match(text: str, regex: str, *examples: str) -> str:
    """``text`` with examples and the regular expression, punctuated as upstream does it."""
    quoted = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {quoted}regex used for validation is '{regex}')"


_LABEL_TEXT = _must_match(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_TEXT = _must_match(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_TEXT = _must_match(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_QUALIFIED_TEXT = _must_match(
    "must consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE_TEXT = _must_match(
    "a valid label must be an empty string or consist of alphanumeric characters, "
    "'-', '_' or '.', and must start and end with an alphanumeric character",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_WILDCARD_TEXT = _must_match(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
    "which must consist of lower case alphanumeric characters, '-' or '.' "
    "and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
_CONFIG_KEY_TEXT = _must_match(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_HEADER_TEXT = _must_match(
    "a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name"
)
_VARIABLE_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters "
    "other than '='"
)


def _check(text: str, regex: re.Pattern[str], sentence: str, most: int) -> list[str]:
    sentences = [f"must be no more than {most} bytes"] if len(text) > most else []
    return sentences if regex.fullmatch(text) else [*sentences, sentence]


def dns_label(text: str) -> list[str]:
    """RFC 1123 label: container names, namespaces."""
    return _check(text, _LABEL_RE, _LABEL_TEXT, 63)


def dns_subdomain(text: str) -> list[str]:
    """RFC 1123 subdomain: most object names."""
    return _check(text, _SUBDOMAIN_RE, _SUBDOMAIN_TEXT, 253)


def dns_1035_label(text: str) -> list[str]:
    """RFC 1035 label: Service names, which must not start with a digit."""
    return _check(text, _LABEL_1035_RE, _LABEL_1035_TEXT, 63)


def wildcard_subdomain(text: str) -> list[str]:
    """``*.example.com``."""
    return _check(text, _WILDCARD_RE, _WILDCARD_TEXT, 253)


def qualified_name(text: str) -> list[str]:
    """Label and annotation keys: a name with an optional DNS prefix, ``example.com/name``."""
    parts = text.split("/")
    if len(parts) > 2:
        suffix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_QUALIFIED_TEXT} {suffix}"]
    sentences = []
    if len(parts) == 2:
        prefix = parts[0]
        sentences = [f"prefix part {EMPTY}"] if not prefix else []
        sentences += [f"prefix part {text}" for text in dns_subdomain(prefix) if prefix]
    name = parts[-1]
    if not name:
        sentences.append(f"name part {EMPTY}")
    if len(name) > 63:
        sentences.append("name part must be no more than 63 bytes")
    if not _QUALIFIED_RE.fullmatch(name):
        sentences.append(f"name part {_QUALIFIED_TEXT}")
    return sentences


def label_value(text: str) -> list[str]:
    return _check(text, _LABEL_VALUE_RE, _LABEL_VALUE_TEXT, 63)


def config_key(text: str) -> list[str]:
    """Keys of ConfigMaps and Secrets, which become file names."""
    sentences = _check(text, _CONFIG_KEY_RE, _CONFIG_KEY_TEXT, 253)
    if text in (".", ".."):
        sentences.append(f"must not be '{text}'")
    elif text.startswith(".."):
        sentences.append("must not start with '..'")
    return sentences


def header_name(text: str) -> list[str]:
    return [] if _HEADER_RE.fullmatch(text) else [_HEADER_TEXT]


def variable_name(text: str) -> list[str]:
    """An environment variable's name (the relaxed rule of Kubernetes 1.34)."""
    return [] if _VARIABLE_RE.fullmatch(text) else [_VARIABLE_TEXT]


def port_name(text: str) -> list[str]:
    """An IANA service name, e.g. ``http`` or ``metrics-2``."""
    sentences = []
    if len(text) > 15:
        sentences.append("must be no more than 15 bytes")
    if not _PORT_NAME.fullmatch(text):
        sentences.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= char <= "z" for char in text):
        sentences.append("must contain at least one letter (a-z)")
    if "--" in text:
        sentences.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        sentences.append("must not begin or end with a hyphen")
    return sentences


def port_number(number: int) -> list[str]:
    return [] if 1 <= number <= 65535 else [PORT_RANGE]


def port_number_or_name(port: int | str) -> list[str]:
    return port_name(port) if isinstance(port, str) else port_number(port)


@lru_cache(maxsize=32_768)  # the addresses of pods are looked at with every write of a slice
def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address without a zone (``fe80::1%eth0``), in which any text may stand."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def object_uid(text: str) -> list[str]:
    """A reference to a uid. Ours are UUIDs; others may be any word of these characters."""
    return _check(text, _UID_RE, f"must consist of {_UID} (letters, digits, '.' and '-')", 128)


def url_path(text: str) -> list[str]:
    """What a request's path can never hold, and what would break out of a line of our proxy's."""
    sentences = []
    if len(text.encode()) > _MOST_PATH_BYTES:
        sentences.append(f"must be no more than {_MOST_PATH_BYTES} bytes")
    if any(char in "#\\" or char.isspace() or not char.isprintable() for char in text):
        sentences.append("must not contain whitespace, control characters, '#' or '\\'")
    return sentences


def path_segment(text: str) -> list[str]:
    """Why ``text`` can't be one part of a URL's path: RBAC objects are named as freely as that."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{bad}'" for bad in "/%" if bad in text]
