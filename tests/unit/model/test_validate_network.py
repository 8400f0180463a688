"""Why Services, slices and Ingresses are refused (semantics 4.3, 4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.defaults import apply_defaults
from nodrop.model.meta import Obj
from nodrop.model.validate import validate_create, validate_update
from tests.unit.model import manifests as m

P = "spec.rules[0].http.paths[0]"
RANGE = "must be between 1 and 65535, inclusive"
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def texts(obj: Obj) -> list[str]:
    return [str(cause) for cause in validate_create(apply_defaults(obj))]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]},
        {
            "ports": [
                {"port": 53, "name": "a", "protocol": "UDP"},
                {"port": 53, "name": "b", "protocol": "TCP"},
            ]
        },
        {"clusterIP": "None", "ports": []},
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]},
        {"type": "ExternalName", "externalName": "db.example.", "ports": []},
        {"ports": [{"port": 80, "targetPort": "http"}]},
    ],
)
def test_services_that_are_fine(spec: Obj) -> None:
    assert texts(m.service(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        (
            {"ports": [{"port": 70000, "targetPort": 80}]},
            f"spec.ports[0].port: Invalid value: 70000: {RANGE}",
        ),
        (
            {"ports": [{"port": 80, "targetPort": 99999}]},
            f"spec.ports[0].targetPort: Invalid value: 99999: {RANGE}",
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 81}]},
            "spec.ports[1].name: Required value",
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
            'spec.ports[1].name: Duplicate value: "a"',
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]},
            'spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}',
        ),
        (
            {"ports": [{"port": 80, "nodePort": 30080}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            {"type": "Magic"},
            'spec.type: Unsupported value: "Magic": '
            'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
        ),
        (
            {"sessionAffinity": "Cookie"},
            'spec.sessionAffinity: Unsupported value: "Cookie": '
            'supported values: "ClientIP", "None"',
        ),
        ({"clusterIP": "local"}, f'spec.clusterIPs[0]: Invalid value: "local": {IP}'),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        (
            {
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}},
            },
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: "
            "must be greater than 0 and less than 86400",
        ),
    ],
)
def test_a_service_is_refused(spec: Obj, expected: str) -> None:
    assert texts(m.service(**spec)) == [expected]


def test_an_app_protocol_is_a_qualified_name() -> None:
    assert texts(m.service(ports=[{"port": 80, "appProtocol": "kubernetes.io/h2c"}])) == []
    (text,) = texts(m.service(ports=[{"port": 80, "appProtocol": "a b"}]))
    assert text.startswith('spec.ports[0].appProtocol: Invalid value: "a b": name part must')


def test_a_service_keeps_its_address() -> None:
    old = apply_defaults(m.service(clusterIP="127.1.0.5"))
    new = apply_defaults(m.service(clusterIP="127.1.0.6"))
    assert [str(cause) for cause in validate_update(new, old)] == [
        'spec.clusterIPs[0]: Invalid value: ["127.1.0.6"]: may not change once set'
    ]
    external = apply_defaults(m.service(type="ExternalName", externalName="db.example"))
    assert validate_update(external, old) == []


@pytest.mark.parametrize(
    "path",
    [
        {},
        {"path": "/foo/", "pathType": "Exact"},
        {"path": "", "pathType": "ImplementationSpecific"},
        {"backend": {"service": {"name": "web", "port": {"name": "http"}}}},
    ],
)
def test_ingresses_that_are_fine(path: Obj) -> None:
    assert texts(m.ingress(path)) == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ({"pathType": None}, f"{P}.pathType: Required value: pathType must be specified"),
        (
            {"pathType": "Regex"},
            f'{P}.pathType: Unsupported value: "Regex": '
            'supported values: "Exact", "ImplementationSpecific", "Prefix"',
        ),
        ({"path": "foo"}, f'{P}.path: Invalid value: "foo": must be an absolute path'),
        (
            {"path": "a", "pathType": "ImplementationSpecific"},
            f'{P}.path: Invalid value: "a": must be an absolute path',
        ),
        ({"path": "/a//b"}, f"{P}.path: Invalid value: \"/a//b\": must not contain '//'"),
        ({"path": "/a%2fb"}, f"{P}.path: Invalid value: \"/a%2fb\": must not contain '%2f'"),
        ({"path": "/a/.."}, f"{P}.path: Invalid value: \"/a/..\": cannot end with '/..'"),
        (
            {"backend": {"service": {"name": "web"}}},
            f"{P}.backend.service.port: Required value: port name or number is required",
        ),
        (
            {"backend": {"service": {"name": "web", "port": {"name": "a", "number": 1}}}},
            f'{P}.backend.service.port: Invalid value: {{"name":"a","number":1}}: '
            "cannot set both port name & port number",
        ),
        (
            {"backend": {"service": {"port": {"number": 1}}}},
            f"{P}.backend.service.name: Required value",
        ),
        (
            {"backend": {"service": {"name": "web", "port": {"number": 70000}}}},
            f"{P}.backend.service.port.number: Invalid value: 70000: {RANGE}",
        ),
    ],
)
def test_an_ingress_path_is_refused(path: Obj, expected: str) -> None:
    assert texts(m.ingress(path)) == [expected]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "spec",
            {},
            "spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified",
        ),
        (
            "spec.rules.0.host",
            "10.0.0.1",
            'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        ),
        (
            "spec.rules.0.host",
            "Example.com",
            f'spec.rules[0].host: Invalid value: "Example.com": {SUBDOMAIN}',
        ),
        ("spec.rules.0.http.paths", [], "spec.rules[0].http.paths: Required value"),
        ("spec.defaultBackend", {}, "spec.defaultBackend.service.name: Required value"),
        (
            "spec.ingressClassName",
            "A_b",
            f'spec.ingressClassName: Invalid value: "A_b": {SUBDOMAIN}',
        ),
    ],
)
def test_an_ingress_is_refused(path: str, value: Any, expected: str) -> None:
    assert expected in texts(m.changed(m.ingress(), path, value))


def test_a_wildcard_host_is_fine_and_a_star_elsewhere_is_not() -> None:
    assert texts(m.changed(m.ingress(), "spec.rules.0.host", "*.example.com")) == []
    assert len(texts(m.changed(m.ingress(), "spec.rules.0.host", "a.*.com"))) == 1


def test_a_new_ingress_names_its_class_once() -> None:
    old = m.changed(
        m.ingress(ingressClassName="nodrop"),
        "metadata.annotations",
        {"kubernetes.io/ingress.class": "nodrop"},
    )
    path = "annotations.kubernetes.io/ingress.class"
    assert texts(old) == [
        f'{path}: Invalid value: "nodrop": can not be set when the class field is also set'
    ]
    assert validate_update(old, old) == []


def endpointslice(**fields: Any) -> Obj:
    whole = {"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.1.1"]}], **fields}
    gvk = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
    return gvk | {"metadata": m.metadata()} | whole


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"addressType": "IPv5"},
            'addressType: Unsupported value: "IPv5": supported values: "FQDN", "IPv4", "IPv6"',
        ),
        (
            {"endpoints": [{}]},
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ),
        (
            {"endpoints": [{"addresses": ["x"]}]},
            f'endpoints[0].addresses[0]: Invalid value: "x": {IP}',
        ),
        (
            {"endpoints": [{"addresses": ["fe80::1%e 0"]}], "addressType": "IPv6"},
            f'endpoints[0].addresses[0]: Invalid value: "fe80::1%e 0": {IP}',
        ),
        (
            {"endpoints": [{"addresses": ["127.0.1.1"], "targetRef": {"uid": "a b"}}]},
            'endpoints[0].targetRef.uid: Invalid value: "a b": must consist of [-.A-Za-z0-9]+ '
            "(letters, digits, '.' and '-')",
        ),
        ({"ports": [{"port": 0}]}, f"ports[0].port: Invalid value: 0: {RANGE}"),
        ({"ports": [{"port": -1}]}, f"ports[0].port: Invalid value: -1: {RANGE}"),
        ({"ports": [{"port": 1}, {"port": 2}]}, 'ports[1].name: Duplicate value: ""'),
    ],
)
def test_a_slice_is_refused(fields: Obj, expected: str) -> None:
    assert texts(endpointslice(**fields)) == [expected]


def test_a_slice_of_names_holds_names() -> None:
    named = endpointslice(addressType="FQDN", endpoints=[{"addresses": ["a.example."]}])
    assert texts(named) == []
    (refused,) = texts(m.changed(named, "endpoints.0.addresses.0", "a\nb"))
    assert refused.startswith('endpoints[0].addresses[0]: Invalid value: "a\\nb"')


@pytest.mark.parametrize("path", ["/a\n\nb", "/a b", "/a\tb", "/a#b", "/a\\b", "/a\x00", "/\u2028"])
@pytest.mark.parametrize("kind", ["Exact", "Prefix", "ImplementationSpecific"])
def test_no_path_breaks_out_of_its_line(path: str, kind: str) -> None:
    (refused,) = texts(m.ingress({"path": path, "pathType": kind}))
    assert refused.endswith("must not contain whitespace, control characters, '#' or '\\'")


def test_a_path_has_an_end() -> None:
    assert texts(m.ingress({"path": "/" + "a" * 4095})) == []
    (refused,) = texts(m.ingress({"path": "/" + "a" * 4096}))
    assert refused.endswith("must be no more than 4096 bytes")


def test_a_slice_keeps_its_address_type() -> None:
    assert texts(endpointslice()) == []
    new = endpointslice(addressType="FQDN")
    assert [str(cause) for cause in validate_update(new, endpointslice())] == [
        'addressType: Invalid value: "FQDN": field is immutable'
    ]


def test_an_ingress_class_names_a_controller_for_ever() -> None:
    gvk = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass"}
    whole = gvk | {"metadata": {"name": "nodrop"}, "spec": {"controller": "nodrop.dev/haproxy"}}
    assert texts(whole) == []
    assert texts(m.changed(whole, "spec.controller", "")) == ["spec.controller: Required value"]
    assert texts(m.changed(whole, "spec.controller", "x")) == [
        'spec.controller: Invalid value: "x": '
        'must be a domain-prefixed path (such as "acme.io/foo")'
    ]
    moved = m.changed(whole, "spec.controller", "other.dev/x")
    assert [cause.field for cause in validate_update(moved, whole)] == ["spec.controller"]
