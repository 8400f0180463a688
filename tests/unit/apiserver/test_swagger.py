"""The OpenAPI v2 document: complete, in Swagger's own words, anew when a custom kind changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from nodrop.apiserver.openapi import OpenApi
from nodrop.apiserver.swagger import as_v2, media_type_for
from nodrop.apiserver.swaggerpb import ASKED_AS, MEDIA_TYPE
from nodrop.model.catalogue import Catalogue
from nodrop.model.errors import ApiError
from nodrop.model.kinds import FORMS, KINDS
from nodrop.model.meta import Obj
from nodrop.model.protobuf import fields_of

GVK = "x-kubernetes-group-version-kind"


def definition(size: Obj) -> Obj:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"size": size}}},
    }
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


def document(openapi: OpenApi) -> Obj:
    found: Obj = msgspec.json.decode(openapi.swagger())
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_to_a_definition() -> None:
    found = document(OpenApi())
    known = {f"#/definitions/{name}" for name in found["definitions"]}
    assert set(references(found)) <= known
    assert found["swagger"] == "2.0"


def test_every_kind_has_a_patch_that_names_field_validation() -> None:
    """By this operation kubectl finds out that the server checks fields itself."""
    patched = set()
    for item in document(OpenApi())["paths"].values():
        if "patch" not in item:
            continue
        names = {one["name"]: one for one in item["patch"]["parameters"]}
        assert names["fieldValidation"]["in"] == "query"
        assert names["fieldValidation"]["type"] == "string"
        patched.add(tuple(item["patch"][GVK].values()))
    assert patched == {(kind.group, kind.version, kind.kind) for kind in (*KINDS, *FORMS)}


def test_no_operation_has_the_name_of_another() -> None:
    names = [
        operation["operationId"]
        for item in document(OpenApi())["paths"].values()
        for key, operation in item.items()
        if key != "parameters"
    ]
    assert len(names) == len(set(names))


def test_a_custom_kind_is_told_as_it_is_now() -> None:
    kinds = Catalogue()
    openapi = OpenApi(kinds)
    assert "com.example.v1.Widget" not in document(openapi)["definitions"]
    for size in ({"type": "integer"}, {"type": "string"}):
        kinds.put(definition(size))
        told = document(openapi)
        assert told["definitions"]["com.example.v1.Widget"]["properties"]["size"] == size
        assert "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}" in told["paths"]


def test_what_says_nothing_new_is_not_made_again() -> None:
    kinds = Catalogue()
    kinds.put(definition({"type": "integer"}))
    openapi = OpenApi(kinds)
    assert openapi.swagger() is openapi.swagger()
    path = "apis/example.com/v1"
    assert openapi.document(path) is openapi.document(path)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"allOf": [{"$ref": "#/components/schemas/a.B"}], "description": "d"},
            {"$ref": "#/definitions/a.B", "description": "d"},
        ),
        (
            {"type": "object", "nullable": True, "anyOf": [{"type": "string"}]},
            {"type": "object"},
        ),
        # Below properties these are names of fields.
        (
            {"properties": {"anyOf": {"type": "array", "items": {"nullable": True}}}},
            {"properties": {"anyOf": {"type": "array", "items": {}}}},
        ),
        ({"default": {"nullable": True}}, {"default": {"nullable": True}}),
        ({"additionalProperties": True}, {"additionalProperties": True}),
    ],
)
def test_schemas_in_the_words_of_v2(schema: Obj, expected: Obj) -> None:
    assert as_v2(schema) == expected


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/x+protobuf, application/json;q=0.9", "application/json"),
        *((asked, MEDIA_TYPE) for asked in ASKED_AS),
    ],
)
def test_json_and_protobuf_are_acceptable(accept: str, answered: str) -> None:
    assert media_type_for(accept) == answered


def test_nothing_else_is_acceptable() -> None:
    with pytest.raises(ApiError) as refused:
        media_type_for("application/xml")
    assert refused.value.code == 406


def test_in_protobuf_it_tells_which_patches_take_field_validation() -> None:
    """What kubectl 1.27 and 1.28 look for before each apply, by the numbers of gnostic's proto."""
    paths = parts(parts(OpenApi().swagger_protobuf())[8][0])[2]
    found = {parts(path)[1][0].decode(): parts(parts(path)[2][0])[8][0] for path in paths}
    patch = parts(found["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"])
    extension = parts(patch[13][0])
    assert extension[1] == [GVK.encode()]
    expected = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert msgspec.json.decode(parts(extension[2][0])[2][0]) == expected
    queries = [parts(parts(parts(parts(one)[1][0])[2][0])[3][0]) for one in patch[8]]
    assert {query[4][0] for query in queries} == {b"dryRun", b"fieldManager", b"fieldValidation"}


def parts(message: bytes) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for number, value in fields_of(message):
        assert isinstance(value, bytes)
        found.setdefault(number, []).append(value)
    return found
