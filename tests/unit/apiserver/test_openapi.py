"""OpenAPI v3: schemas with what fields are for; v2 without."""

from __future__ import annotations

import msgspec

from nodrop.apiserver.openapi import OpenApi

_SPEC = "io.k8s.api.apps.v1.DeploymentSpec"


def test_fields_say_what_they_are_for() -> None:
    openapi = OpenApi()
    document = msgspec.json.decode(openapi.document("apis/apps/v1") or b"")
    spec = document["components"]["schemas"][_SPEC]
    assert spec["description"].startswith("DeploymentSpec is the specification of")
    assert "Minimum number of seconds" in spec["properties"]["minReadySeconds"]["description"]
    assert "existing pods" in spec["properties"]["strategy"]["description"]
    assert spec["properties"]["strategy"]["allOf"]  # beside a reference nothing may stand


def test_v2_is_spared_what_fields_are_for() -> None:
    assert b"Minimum number of seconds" not in OpenApi().swagger()


def test_a_group_that_is_not_served_has_no_document() -> None:
    assert OpenApi().document("apis/batch/v1") is None
