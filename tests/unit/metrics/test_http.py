"""Counts of API requests: by verb and resource, of custom kinds too."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from nodrop.metrics.http import counted
from nodrop.metrics.instruments import Instruments
from nodrop.model.kinds import Kind, kind_for_resource

WIDGET = Kind("example.com", "v1", "Widget", "widgets", True)


def find(group: str, version: str, plural: str) -> Kind | None:
    asked = (group, version, plural)
    return WIDGET if asked == ("example.com", "v1", "widgets") else kind_for_resource(*asked)


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource"),
    [
        ("GET", "/api/v1/namespaces/default/pods", "list", "pods"),
        ("GET", "/apis/example.com/v1/namespaces/a/widgets/one", "get", "widgets.example.com"),
        ("PATCH", "/apis/example.com/v1/namespaces/a/widgets/one", "patch", "widgets.example.com"),
        ("GET", "/apis/example.com/v1/namespaces/a/others", "", ""),
    ],
)
async def test_a_request_is_counted_for_its_resource(
    method: str, path: str, verb: str, resource: str
) -> None:
    registry = CollectorRegistry()

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=200)

    await counted(Instruments(registry), find)(make_mocked_request(method, path), answer)
    labels = {"verb": verb, "resource": resource, "code": "200"}
    assert registry.get_sample_value("nodrop_api_requests_total", labels) == 1
