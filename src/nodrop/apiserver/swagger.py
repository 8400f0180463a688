"""OpenAPI v2 (Swagger 2.0) made from the v3 documents, for clients that ask for nothing newer.

In JSON; swaggerpb.py makes what older kubectls want in protobuf of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nodrop.apiserver.discovery import GIT_VERSION
from nodrop.apiserver.swaggerpb import ASKED_AS, MEDIA_TYPE
from nodrop.model.errors import ApiError
from nodrop.model.meta import Obj

_V3, _V2 = "#/components/schemas/", "#/definitions/"
_JSON = "application/json"
_ACCEPTABLE = (_JSON, "application/*", "*/*")
#: What Swagger 2.0 has no word for; upstream leaves it out of v2 too.
_NOT_IN_V2 = frozenset({"oneOf", "anyOf", "not", "nullable"})


def swagger(documents: Iterable[Obj]) -> Obj:
    """One v2 document that says what all the v3 ``documents`` say."""
    paths: Obj = {}
    definitions: Obj = {}
    for document in documents:
        paths |= {path: _path(item) for path, item in document["paths"].items()}
        for name, schema in document["components"]["schemas"].items():
            definitions.setdefault(name, schema)
    return {
        "swagger": "2.0",
        "info": {"title": "nodrop", "version": GIT_VERSION},
        "paths": paths,
        "definitions": {name: as_v2(schema) for name, schema in definitions.items()},
    }


def media_type_for(accept: str) -> str:
    """The first of our media types that ``accept`` names. Raises ApiError 406 for none."""
    clauses = [clause.split(";")[0].strip() for clause in accept.split(",") if clause.strip()]
    for clause in clauses:
        if clause in ASKED_AS:
            return MEDIA_TYPE
        if clause in _ACCEPTABLE:
            return _JSON
    if not clauses:
        return _JSON
    ours = f"{_JSON}, {MEDIA_TYPE}"
    raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {ours}")


def as_v2(schema: Any) -> Any:
    """A schema in v2's words. The names below ``properties`` are no words: they all stay."""
    if not isinstance(schema, dict):
        return schema
    found: Obj = {}
    for key, value in schema.items():
        match key:
            case "$ref":
                found[key] = value.replace(_V3, _V2)
            case "allOf":  # v3 wraps a reference that has siblings; v2 lets them stand beside it
                found |= as_v2(value[0]) if len(value) == 1 else {}
            case "properties":
                found[key] = {name: as_v2(sub) for name, sub in value.items()}
            case "items" | "additionalProperties":
                found[key] = as_v2(value)
            case _ if key not in _NOT_IN_V2:
                found[key] = value
    return found


# Private


def _path(item: Obj) -> Obj:
    return {
        key: [_parameter(one) for one in value] if key == "parameters" else _operation(value)
        for key, value in item.items()
    }


def _operation(operation: Obj) -> Obj:
    kept = {key: value for key, value in operation.items() if key != "requestBody"}
    parameters = [_parameter(one) for one in operation["parameters"]]
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        schema = as_v2(next(iter(body.values()))["schema"])
        parameters.append({"name": "body", "in": "body", "required": True, "schema": schema})
    return {
        **kept,
        "consumes": [*body] or ["*/*"],
        "produces": [_JSON],
        "parameters": parameters,
        "responses": {code: _response(one) for code, one in operation["responses"].items()},
    }


def _response(response: Obj) -> Obj:
    return {
        "description": response["description"],
        "schema": as_v2(response["content"][_JSON]["schema"]),
    }


def _parameter(parameter: Obj) -> Obj:
    """v2 has a parameter's type beside its name."""
    kept = {key: value for key, value in parameter.items() if key != "schema"}
    return {**kept, **parameter["schema"]}
