"""What annotations of an Ingress mean, and what is said about those that mean nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodrop.model.ingressoptions import (
    NAMES,
    NGINX,
    OURS,
    CanaryRule,
    Cookie,
    IngressOptions,
    TlsRule,
    read_options,
)
from nodrop.model.meta import Obj

PLAIN = IngressOptions()


def ingress(**annotations: str) -> Obj:
    named = {name.replace("_", "-"): value for name, value in annotations.items()}
    return {"metadata": {"name": "i", "annotations": {OURS + n: v for n, v in named.items()}}}


def raw(annotations: dict[str, str]) -> Obj:
    return {"metadata": {"name": "i", "annotations": annotations}}


@pytest.mark.parametrize("prefix", [OURS, NGINX])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("proxy-read-timeout", "30", IngressOptions(server_timeout_ms=30_000)),
        ("proxy-read-timeout", "5m", IngressOptions(server_timeout_ms=300_000)),
        ("proxy-send-timeout", "250ms", IngressOptions(server_timeout_ms=250)),
        ("proxy-body-size", "8m", IngressOptions(body_limit_bytes=8 << 20)),
        ("proxy-body-size", "100", IngressOptions(body_limit_bytes=100)),
        ("proxy-body-size", "0", PLAIN),
        ("ssl-redirect", "false", IngressOptions(ssl_redirect=False)),
        ("force-ssl-redirect", "true", IngressOptions(force_ssl_redirect=True)),
        ("rewrite-target", "/$2", IngressOptions(rewrite_target="/$2")),
        ("use-regex", "true", IngressOptions(use_regex=True)),
        ("affinity", "cookie", IngressOptions(
            cookie=Cookie(name="INGRESSCOOKIE", attributes="; Path=/; HttpOnly"))),
        ("canary", "true", IngressOptions(canary=CanaryRule())),
        ("canary", "false", PLAIN),
        ("backend-protocol", "HTTP", PLAIN),
        ("upstream-vhost", "A.example:8443", IngressOptions(upstream_host="a.example:8443")),
        ("proxy-next-upstream", "off", IngressOptions(single_try=True)),
        ("proxy-ssl-name", "A.example", IngressOptions(tls=TlsRule(name="a.example"))),
        ("proxy-ssl-server-name", "on", IngressOptions(tls=TlsRule())),
        ("proxy-ssl-verify", "off", PLAIN),
        ("proxy-ssl-secret", "shop/ca", PLAIN),
    ],
)  # fmt: skip
def test_both_prefixes_mean_the_same(
    prefix: str, name: str, value: str, expected: IngressOptions
) -> None:
    options = read_options(raw({prefix + name: value}))
    assert options == expected
    assert options.problems == ()


def test_several_make_one_option() -> None:
    options = read_options(
        ingress(
            proxy_read_timeout="10", proxy_send_timeout="20", affinity="cookie", canary="true",
            session_cookie_name="route", session_cookie_path="/shop", session_cookie_max_age="60",
            session_cookie_samesite="Lax", session_cookie_secure="true", canary_weight="1",
            canary_weight_total="4", canary_by_header="X-New", canary_by_header_value="yes",
        )
    )  # fmt: skip
    assert options.problems == ()
    assert options.server_timeout_ms == 20_000
    assert options.cookie == Cookie(
        name="route", attributes="; Path=/shop; HttpOnly; Max-Age=60; SameSite=Lax; Secure"
    )
    assert options.canary == CanaryRule(weight=2500, header="x-new", header_value="yes")


def test_certificates_of_pods_are_checked_against_a_secret() -> None:
    asked = ingress(proxy_ssl_verify="on", proxy_ssl_secret="shop/ca")
    assert read_options(asked).tls == TlsRule(secret="shop/ca")
    asked["metadata"]["namespace"] = "other"
    asked["metadata"]["annotations"][OURS + "proxy-ssl-secret"] = "ca"
    assert read_options(asked).tls == TlsRule(secret="other/ca")
    asked["metadata"]["annotations"][OURS + "proxy-ssl-secret"] = "not a name"
    assert read_options(asked).tls == TlsRule(secret="other/"), "nobody is trusted then"


def test_ours_counts_where_both_are_set() -> None:
    both = {OURS + "proxy-body-size": "1k", NGINX + "proxy-body-size": "2k"}
    assert read_options(raw(both)).body_limit_bytes == 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proxy-read-timeout", "soon"), ("proxy-read-timeout", "0"), ("proxy-read-timeout", "25h"),
        ("proxy-body-size", "8 MB"), ("ssl-redirect", "yes"), ("force-ssl-redirect", "1"),
        ("rewrite-target", "http://other/"), ("rewrite-target", "/a b"), ("affinity", "ip"),
        ("session-cookie-name", "a;b"), ("session-cookie-path", "x"),
        ("session-cookie-samesite", "lax"), ("canary-weight", "-1"), ("canary-weight", "101"),
        ("canary-by-header", "a:b"), ("canary-by-header-value", ".*"), ("hsts-max-age", "1y"),
        ("proxy-connect-timeout", "5"), ("backend-protocol", "GRPC"), ("no-such-thing", "1"),
        ("upstream-vhost", "a b"), ("upstream-vhost", "a:b"), ("upstream-vhost", "a:٣"),
        ("upstream-vhost", "a:0"), ("upstream-vhost", "a:"),
        ("session-cookie-path", "/" + "a" * 1001), ("rewrite-target", "/" + "a" * 1001),
        ("proxy-next-upstream", "error"),
        ("proxy-ssl-verify", "on"), ("proxy-ssl-verify", "true"), ("proxy-ssl-name", "a|b"),
        ("proxy-ssl-secret", "a/b/c"), ("proxy-ssl-server-name", "1"),
    ],
)  # fmt: skip
def test_a_bad_value_is_told_with_its_name_and_has_no_effect(name: str, value: str) -> None:
    options = read_options(raw({OURS + name: value}))
    assert options == PLAIN
    (problem,) = options.problems
    assert str(problem).startswith(f'metadata.annotations[{OURS}{name}]: "{value}": ')
    assert problem.unknown is (name == "no-such-thing")


def test_unknown_ones_of_both_prefixes_are_told_and_others_are_not_ours() -> None:
    annotations = {
        NGINX + "auth-url": "x", NGINX + "hsts-max-age": "1", OURS + "typo": "x",
        "example.com/other": "x", "kubernetes.io/ingress.class": "nginx",
    }  # fmt: skip
    problems = read_options(raw(annotations)).problems
    assert {problem.name for problem in problems if problem.unknown} == {
        NGINX + "auth-url", NGINX + "hsts-max-age", OURS + "typo",
    }  # fmt: skip
    assert len(problems) == 3


def test_the_reference_names_every_annotation() -> None:
    page = Path("docs/reference/ingress-annotations.md").read_text()
    rows = {
        row[1]: row[2] == "yes"
        for row in re.finditer(r"^\| `([a-z-]+)` \| (yes|no) \|", page, re.M)
    }
    assert rows == NAMES
