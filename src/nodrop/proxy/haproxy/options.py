"""Options of routes as rules that read them from a record at run time; pure.

A route with options has a record instead of a slot in the map of paths::

    r|tb|s7|30000|1048576||||||      flags, slot, timeout in ms, body limit in bytes …

The first letter tells it from a slot. A flag stands for one option, so that a rule is passed
over by a cheap look. Regular expressions stand in maps of their own; their keys begin with an
identity made of their content, so that a record never meets the expression of another time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nodrop.model.ingressoptions import WEIGHT_PARTS
from nodrop.model.ingresspaths import Rewrite
from nodrop.proxy.haproxy.slots import SAFE_METHOD, UNSAFE, Slots, slot_name
from nodrop.proxy.protocol import Canary, RouteOptions, RoutingTable

#: Maps of regular expressions: path → new path, cookies → server, headers → always or never.
REWRITES, COOKIES, HEADERS = "rewrites.map", "cookies.map", "headers.map"

_FIELDS = (
    "flags", "slot", "timeout", "limit", "rewrite", "cookie", "attributes", "canary", "weight",
    "header", "hsts", "host",
)  # fmt: skip


def record_of(options: RouteOptions | None, slot: str, slots: Slots, tls: bool) -> str:
    """What the map of paths says of a route: its slot, or a record where something is special."""
    if options is None:
        return slot
    values = _values(options, slots, tls)
    if not values:
        return slot
    values["slot"] = slot
    return "|".join(["r", *(values.get(name, "") for name in _FIELDS)])


def option_maps(table: RoutingTable) -> dict[str, dict[str, str]]:
    """The contents of the maps: file name → key → value."""
    used = list(table.options.values())
    rewrites = {one.rewrite for one in used if one.rewrite}
    cookies = {one.cookie.name for one in used if one.cookie}
    canaries = {one.canary for one in used if one.canary and one.canary.header}
    return {
        REWRITES: {f"^{_rewrite_id(one)}:{one.pattern}": one.target or "/" for one in rewrites},
        COOKIES: {rf"^{name}:(.*;)?\s*{name}=([^;]*)": r"\2" for name in cookies},
        HEADERS: dict(map(_header_entry, canaries)),
    }


# Private


def _values(options: RouteOptions, slots: Slots, tls: bool) -> dict[str, str]:
    """Field → value of what is asked for; nothing where nothing is."""
    values, flags = {}, ""
    if options.server_timeout_ms is not None:
        flags += "t"
        values["timeout"] = str(options.server_timeout_ms)
    if options.body_limit_bytes is not None:
        flags += "b"
        values["limit"] = str(options.body_limit_bytes)
    if options.redirect and not tls:
        flags += "r"
    if options.hsts_max_age_s is not None and tls:
        flags += "s"
        values["hsts"] = str(options.hsts_max_age_s)
    if options.rewrite is not None:
        flags += "mw" if options.rewrite.target else "m"
        values["rewrite"] = _rewrite_id(options.rewrite) + ":"
    if options.cookie is not None:
        flags += "a"
        values |= {"cookie": options.cookie.name, "attributes": options.cookie.attributes}
    if options.upstream_host:
        flags += "v"
        values["host"] = options.upstream_host
    if options.single_try:
        flags += "u"
    if (canary := options.canary) is not None:
        flags += "ch" if canary.header else "c"
        values |= {"canary": slot_name(slots[canary.pool]), "weight": str(canary.weight)}
        values["header"] = _canary_id(canary) + ":" if canary.header else ""
    return {**values, "flags": flags} if flags else {}


def _rewrite_id(rewrite: Rewrite) -> str:
    return _digest((rewrite.pattern, rewrite.target))


def _canary_id(canary: Canary) -> str:
    return _digest((canary.header, canary.header_value))


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _header_entry(canary: Canary) -> tuple[str, str]:
    """HAProxy shows all headers as one text, a line each, names in lower case."""
    says = canary.header_value or "(always|never)"
    key = rf"(?s)^{_canary_id(canary)}:(?:.*\n)?{canary.header}:\s*{says}\s*\r"
    return key, "always" if canary.header_value else r"\1"


def _field(name: str) -> str:
    return f"var(txn.record),field({_FIELDS.index(name) + 2},|)"


def _if(flag: str) -> str:
    return f"if {{ var(txn.flags) -m sub {flag} }}"


_TOO_LARGE = "nodrop: the request's body is larger than %[var(txn.limit)] bytes\\n"
_NO_MATCH = "nodrop: no Ingress rule for %[req.hdr(host)]%[var(txn.path)]\\n"
_SAID = "{ var(txn.said) -m str always }"
_NOT_SAID = "!{ var(txn.said) -m found }"

#: For requests whose record is in ``txn.slot``: takes it apart.
RECORD_RULES = [
    "  http-request set-var(txn.record) var(txn.slot)",
    f"  http-request set-var(txn.flags) {_field('flags')}",
    f"  http-request set-var(txn.slot) {_field('slot')}",
]

#: Carry the options out.
OPTION_RULES = [
    f"  http-request set-var(txn.limit) {_field('limit')} {_if('b')}",
    "  http-request return status 413 content-type text/plain"
    f' lf-string "{_TOO_LARGE}" {_if("b")} {{ req.body_size,sub(txn.limit) gt 0 }}',
    f"  http-request set-var(txn.timeout) {_field('timeout')} {_if('t')}",
    f"  http-request set-var(txn.to) {_field('rewrite')},concat(,txn.path),map_regm({REWRITES})"
    f" {_if('m')}",
    "  http-request return status 404 content-type text/plain"
    f' lf-string "{_NO_MATCH}" {_if("m")} !{{ var(txn.to) -m found }}',
    f"  http-request set-path %[var(txn.to)] {_if('w')}",
    f"  http-request set-var(txn.cookie) {_field('cookie')} {_if('a')}",
    f"  http-request set-var(txn.cookies) req.fhdr(cookie) {_if('a')}",
    f"  http-request set-var(txn.stick) var(txn.cookie),concat(:,txn.cookies),map_regm({COOKIES})"
    f" {_if('a')}",
    f"  http-request set-var(txn.headers) req.hdrs {_if('h')}",
    f"  http-request set-var(txn.said) {_field('header')},concat(,txn.headers),"
    f"map_regm({HEADERS}) {_if('h')}",
    f"  http-request set-var(txn.weight) {_field('weight')} {_if('c')}",
    f"  http-request set-var(txn.slot) {_field('canary')} {_if('c')} {_SAID}",
    f"  http-request set-var(txn.slot) {_field('canary')} {_if('c')} {_NOT_SAID}"
    f" {{ rand({WEIGHT_PARTS}),sub(txn.weight) lt 0 }}",
    f"  http-request set-var(txn.slot) var(txn.slot),concat({UNSAFE}) {_if('u')} {SAFE_METHOD}",
    f"  http-request set-header Host %[{_field('host')}] {_if('v')}",
]

#: Answers to other requests leave them at the first.
RESPONSE_RULES = [
    "  http-response allow unless { var(txn.flags) -m found }",
    "  http-response add-header Set-Cookie"
    f' "%[var(txn.cookie)]=%[srv_name]%[{_field("attributes")}]" {_if("a")}'
    " !{ srv_name,strcmp(txn.stick) eq 0 }",
    "  http-response set-header Strict-Transport-Security"
    f' "max-age=%[{_field("hsts")}]" {_if("s")}',
]
