"""Names, labels, annotations, owners, finalizers, ConfigMaps, Secrets and Events."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nodrop.model.defaults import apply_defaults
from nodrop.model.kinds import KINDS
from nodrop.model.meta import Obj
from nodrop.model.validate import validate_create, validate_update
from nodrop.model.validate.names import config_key, label_value, port_name, qualified_name
from tests.unit.model import manifests as m

SEALED = "Forbidden: field is immutable when `immutable` is set"
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def texts(obj: Obj) -> list[str]:
    return [str(cause) for cause in validate_create(apply_defaults(obj))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_needs_a_name(kind: Any) -> None:
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}
    expected = "metadata.name: Required value: name or generateName is required"
    assert texts(obj)[0] == expected
    assert ("metadata.namespace: Required value" in texts(obj)) == kind.namespaced


@pytest.mark.parametrize(
    ("meta", "count"),
    [
        ({"name": "web.v1"}, 0),
        ({"name": "Web"}, 1),
        ({"name": "-web"}, 1),
        ({"name": "a" * 254}, 1),
        ({"name": None, "generateName": "web-"}, 0),
        ({"name": None, "generateName": "Web-"}, 1),
        ({"namespace": "a.b"}, 1),
        ({"labels": {"app.example/name": "v1.0_x"}}, 0),
        ({"labels": {"app": "a b"}}, 1),
        ({"labels": {"a/b/c": "x"}}, 1),
        ({"annotations": {"A/b": "anything\n goes"}}, 0),
        ({"annotations": {"": "x"}}, 2),
        ({"annotations": {"a": "x" * 262144}}, 1),
        ({"finalizers": ["example.com/x", "orphan"]}, 0),
        ({"finalizers": ["x"]}, 1),
        ({"ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"}]}, 0),
        ({"ownerReferences": [{"name": "n"}]}, 3),
    ],
)
def test_metadata(meta: Obj, count: int) -> None:
    assert len(texts(m.configmap() | {"metadata": m.metadata(**meta)})) == count


def test_a_service_name_starts_with_a_letter() -> None:
    assert texts(m.changed(m.service(), "metadata.name", "1web")) == [
        'metadata.name: Invalid value: "1web": a DNS-1035 label must consist of lower case '
        "alphanumeric characters or '-', start with an alphabetic character, and end with an "
        "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
        "'[a-z]([-a-z0-9]*[a-z0-9])?')"
    ]


def test_only_one_owner_controls() -> None:
    owner = {"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": True}
    meta = m.metadata(ownerReferences=[owner, owner | {"name": "o"}])
    (text,) = texts(m.configmap() | {"metadata": meta})
    assert "Only one reference can have Controller set to true" in text


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    old = m.configmap() | {"metadata": m.metadata(deletionTimestamp="2026-01-01T00:00:00Z")}
    new = m.changed(old, "metadata.finalizers", ["a.b/c"])
    assert [cause.reason for cause in validate_update(new, old)] == ["FieldValueForbidden"]


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        (qualified_name("-x"), [f"name part {QUALIFIED}"]),
        (qualified_name("/x"), ["prefix part must be non-empty"]),
        (qualified_name("a/b"), []),
        (label_value(""), []),
        (label_value("x" * 64), ["must be no more than 63 bytes"]),
        (config_key(".."), ["must not be '..'"]),
        (config_key("..x"), ["must not start with '..'"]),
        (config_key("a.b_c-D"), []),
        (port_name("a--b"), ["must not contain consecutive hyphens"]),
        (port_name("-a"), ["must not begin or end with a hyphen"]),
        (
            port_name("A1"),
            [
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "must contain at least one letter (a-z)",
            ],
        ),
    ],
)
def test_sentences_about_names(sentences: list[str], expected: list[str]) -> None:
    assert sentences == expected


def test_configmap_keys() -> None:
    assert texts(m.configmap(data={"a": "b"}, binaryData={"c": "AA=="})) == []
    both = m.configmap(data={"a": "b"}, binaryData={"a": "AA=="})
    expected = 'data[a]: Invalid value: "a": duplicate of key present in binaryData'
    assert texts(both) == [expected]
    assert texts(m.configmap(data={"a b": "x"}))[0].startswith(
        'data[a b]: Invalid value: "a b": a valid config key must consist of'
    )
    assert texts(m.configmap(data={"a": "x" * 1048577})) == [
        "Too long: may not be more than 1048576 bytes"
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"data": {"a": "MQ=="}}, []),
        (
            {"type": "kubernetes.io/tls"},
            ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        ),
        (
            {"type": "kubernetes.io/basic-auth"},
            ["data[username]: Required value", "data[password]: Required value"],
        ),
        ({"type": "kubernetes.io/basic-auth", "stringData": {"username": "a"}}, []),
        (
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        (
            {"data": {"a": base64.b64encode(b"x" * 1048577).decode()}},
            ["data: Too long: may not be more than 1048576 bytes"],
        ),
    ],
)
def test_secrets(fields: Obj, expected: list[str]) -> None:
    assert texts(m.secret(**fields)) == expected


def test_what_is_sealed_stays_as_it_is() -> None:
    old = m.configmap(immutable=True, data={"a": "b"})
    new = m.configmap(data={"a": "c"})
    assert [str(cause) for cause in validate_update(new, old)] == [
        f"immutable: {SEALED}",
        f"data: {SEALED}",
    ]
    assert validate_update(old, old) == []
    assert validate_update(old, new) == []


def test_a_secret_keeps_its_type() -> None:
    old, new = m.secret(type="Opaque"), m.secret(type="mine")
    assert [str(cause) for cause in validate_update(new, old)] == [
        'type: Invalid value: "mine": field is immutable'
    ]


def test_an_event_is_in_the_namespace_of_its_object() -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": m.metadata(),
        "involvedObject": {"namespace": "other"},
    }
    assert texts(event) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]
    assert texts(m.changed(event, "involvedObject.namespace", "default")) == []
