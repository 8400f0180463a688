"""Paths and queries of the Kubernetes API; pure."""

from __future__ import annotations

from urllib.parse import quote

from nodrop.client.protocol import Scope
from nodrop.client.selectors import Fields, format_field_selector, format_label_selector
from nodrop.model.kinds import Kind
from nodrop.model.meta import ObjectKey


def collection_path(kind: Kind, namespace: str | None) -> str:
    """Where objects of ``kind`` are listed and created; without a namespace, across all."""
    root = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
    if kind.namespaced and namespace:
        return f"{root}/namespaces/{quote(namespace, safe='')}/{kind.plural}"
    return f"{root}/{kind.plural}"


def object_path(key: ObjectKey, subresource: str | None = None) -> str:
    """Where one object is, or its ``subresource``."""
    collection = collection_path(key.kind, key.namespace)
    path = f"{collection}/{quote(key.name, safe='')}"
    return f"{path}/{subresource}" if subresource else path


def scope_query(scope: Scope) -> dict[str, str]:
    """The selectors of ``scope`` as query parameters."""
    query = {}
    if not scope.labels.empty:
        query["labelSelector"] = format_label_selector(scope.labels)
    if scope.fields or scope.fields_not:
        fields = Fields(scope.fields, scope.fields_not)
        query["fieldSelector"] = format_field_selector(fields)
    return query
