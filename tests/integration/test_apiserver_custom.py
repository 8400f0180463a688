"""CustomResourceDefinitions and their objects over HTTP: what an operator framework does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.serving import Served, serving, signed_in

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "mode": {"type": "string", "enum": ["fast", "slow"], "default": "fast"},
                "tag": {"type": "string", "pattern": "^[a-z]+$"},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "parts": {"type": "array", "items": {"type": "string"}},
            },
        },
        "status": {
            "type": "object",
            "properties": {"ready": {"type": "integer"}, "selector": {"type": "string"}},
        },
    },
}


def definition(**version: Any) -> dict[str, Any]:
    names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}
    served = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready"},
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.mode"}],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [{**served, **version}],
        },
    }


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 3, **spec},
    }


class Http:
    """JSON in and out, with the status that is expected."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        code: int = 200,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        sent = {"Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, path, data=data, headers=sent) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status == code, answer
            self.warnings = response.headers.getall("Warning", [])
            return answer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state") as running:
        yield running


@pytest.fixture
async def http(served: Served) -> AsyncIterator[Http]:
    async with signed_in(served) as session:
        yield Http(session)


@pytest.fixture
async def widgets(http: Http) -> Http:
    await http("POST", DEFINITIONS, definition(), code=201)
    return http


async def test_a_definition_is_established_at_once_and_discovered(widgets: Http) -> None:
    found = await widgets("GET", f"{DEFINITIONS}/widgets.example.com")
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert found["status"]["acceptedNames"]["singular"] == "widget"
    assert found["status"]["storedVersions"] == ["v1"]
    groups = await widgets("GET", "/apis")
    assert "example.com" in [group["name"] for group in groups["groups"]]
    listed = await widgets("GET", "/apis/example.com/v1")
    assert [one["name"] for one in listed["resources"]] == [
        "widgets",
        "widgets/status",
        "widgets/scale",
    ]
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    aggregated = await widgets("GET", "/apis", headers={"Accept": accept})
    resources = {
        group["metadata"].get("name"): [
            one["resource"] for one in group["versions"][0]["resources"]
        ]
        for group in aggregated["items"]
    }
    assert resources["example.com"] == ["widgets"]
    index = await widgets("GET", "/openapi/v3")
    assert "apis/example.com/v1" in index["paths"]
    document = await widgets("GET", "/openapi/v3/apis/example.com/v1")
    schema = document["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["properties"]["spec"]["properties"]["size"]["maximum"] == 9
    told = await widgets("GET", "/openapi/v2")
    told_schema = told["definitions"]["com.example.v1.Widget"]
    assert told_schema["properties"]["spec"]["properties"]["size"]["maximum"] == 9


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"metadata": {"name": "other.example.com"}}, "metadata.name"),
        ({"spec": {"scope": "Nowhere"}}, "spec.scope"),
        ({"spec": {"group": "nodot"}}, "spec.group"),
        ({"spec": {"group": "apps.k8s.io"}}, "metadata.annotations[api-approved.kubernetes.io]"),
        ({"spec": {"versions": []}}, "spec.versions"),
        ({"spec": {"conversion": {"strategy": "Webhook"}}}, "spec.conversion.strategy"),
    ],
)
async def test_a_bad_definition_is_refused(http: Http, change: Any, path: str) -> None:
    bad = definition()
    for section, fields in change.items():
        bad[section] |= fields
    refused = await http("POST", DEFINITIONS, bad, code=422)
    assert path in [cause["field"] for cause in refused["details"]["causes"]]


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ({"schema": None}, "spec.versions[0].schema.openAPIV3Schema"),
        ({"schema": {"openAPIV3Schema": {"type": "string"}}}, "schema.openAPIV3Schema.type"),
        ({"served": False}, "spec.versions"),
        ({"storage": False}, "spec.versions"),
        ({"name": "V!"}, "spec.versions[0].name"),
    ],
)
async def test_a_bad_version_is_refused(http: Http, version: Any, path: str) -> None:
    refused = await http("POST", DEFINITIONS, definition(**version), code=422)
    assert any(cause["field"].endswith(path) for cause in refused["details"]["causes"]), refused


async def test_two_served_versions_are_refused_with_the_way_out(http: Http) -> None:
    two = definition()
    two["spec"]["versions"].append({**two["spec"]["versions"][0], "name": "v2", "storage": False})
    refused = await http("POST", DEFINITIONS, two, code=422)
    assert "set served to false for v2" in refused["message"]


async def test_names_in_use_are_not_accepted(widgets: Http) -> None:
    other = definition()
    other["metadata"]["name"] = "gadgets.example.com"
    other["spec"]["names"] = {"plural": "gadgets", "kind": "Widget"}
    created = await widgets("POST", DEFINITIONS, other, code=201)
    conditions = {one["type"]: one for one in created["status"]["conditions"]}
    assert conditions["NamesAccepted"]["reason"] == "KindConflict"
    assert conditions["Established"]["status"] == "False"
    await widgets("GET", "/apis/example.com/v1/namespaces/default/gadgets", code=404)
    await widgets("DELETE", f"{DEFINITIONS}/gadgets.example.com")
    await widgets("GET", f"{DEFINITIONS}/gadgets.example.com", code=404)


async def test_objects_are_pruned_defaulted_and_checked(widgets: Http) -> None:
    sent = widget("one", free={"any": {"thing": 1}}, surplus=1, port="http")
    made = await widgets("POST", WIDGETS, sent, code=201)
    assert made["spec"] == {
        "size": 3,
        "mode": "fast",
        "port": "http",
        "free": {"any": {"thing": 1}},
    }
    assert made["metadata"]["generation"] == 1
    assert widgets.warnings == ['299 - "unknown field \\"spec.surplus\\""']
    strict = await widgets("POST", f"{WIDGETS}?fieldValidation=Strict", sent, code=400)
    assert 'strict decoding error: unknown field "spec.surplus"' in strict["message"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": 0}, "spec.size in body should be greater than or equal to 1"),
        ({"size": 10}, "spec.size in body should be less than or equal to 9"),
        ({"size": "3"}, 'spec.size in body must be of type integer: "string"'),
        ({"mode": "odd"}, 'spec.mode: Unsupported value: "odd": supported values: "fast", "slow"'),
        ({"tag": "A"}, "spec.tag in body should match '^[a-z]+$'"),
        ({"port": 1.5}, "spec.port in body must be of type integer,string"),
        ({"parts": ["a", 1]}, "spec.parts[1] in body must be of type string"),
    ],
)
async def test_what_the_schema_forbids_is_422(widgets: Http, spec: Any, message: str) -> None:
    refused = await widgets("POST", WIDGETS, widget("bad", **spec), code=422)
    assert message in refused["message"]
    assert refused["message"].startswith('Widget.example.com "bad" is invalid: ')


async def test_a_missing_field_is_named(widgets: Http) -> None:
    bad = widget("bad")
    del bad["spec"]["size"]
    refused = await widgets("POST", WIDGETS, bad, code=422)
    assert "spec.size: Required value" in refused["message"]


async def test_patches_status_and_generation(widgets: Http) -> None:
    await widgets("POST", WIDGETS, widget("one"), code=201)
    patched = await widgets("PATCH", f"{WIDGETS}/one", {"spec": {"size": 4}}, headers=MERGE)
    assert (patched["spec"]["size"], patched["metadata"]["generation"]) == (4, 2)
    json_patch = [{"op": "replace", "path": "/spec/size", "value": 5}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await widgets("PATCH", f"{WIDGETS}/one", json_patch, headers=headers))["spec"][
        "size"
    ] == 5
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    refused = await widgets("PATCH", f"{WIDGETS}/one", {}, headers=strategic, code=415)
    assert refused["reason"] == "UnsupportedMediaType"
    change = {"spec": {"size": 9}, "status": {"ready": 2}}
    status = await widgets("PATCH", f"{WIDGETS}/one/status", change, headers=MERGE)
    assert (status["spec"]["size"], status["status"]) == (5, {"ready": 2})
    assert status["metadata"]["generation"] == 3
    again = await widgets("PATCH", f"{WIDGETS}/one", {"status": {"ready": 7}}, headers=MERGE)
    assert again["metadata"]["resourceVersion"] == status["metadata"]["resourceVersion"]


async def test_scale(widgets: Http) -> None:
    await widgets("POST", WIDGETS, widget("one"), code=201)
    scale = await widgets("GET", f"{WIDGETS}/one/scale")
    assert (scale["kind"], scale["spec"], scale["status"]["replicas"]) == (
        "Scale",
        {"replicas": 3},
        0,
    )
    change = {"spec": {"replicas": 6}}
    scaled = await widgets("PATCH", f"{WIDGETS}/one/scale", change, headers=MERGE)
    assert scaled["spec"] == {"replicas": 6}
    assert (await widgets("GET", f"{WIDGETS}/one"))["spec"]["size"] == 6
    path = f"{WIDGETS}/one/scale?fieldManager=me&force=true"
    applied = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 7}}
    assert (await widgets("PATCH", path, applied, headers=APPLY))["spec"] == {"replicas": 7}
    found = await widgets("GET", f"{WIDGETS}/one")
    mine = next(one for one in found["metadata"]["managedFields"] if one["manager"] == "me")
    assert (found["spec"]["size"], mine["subresource"]) == (7, "scale")
    assert mine["fieldsV1"] == {"f:spec": {"f:size": {}}}


async def test_server_side_apply_creates_merges_and_conflicts(widgets: Http) -> None:
    path = f"{WIDGETS}/one?fieldManager=me"
    made = await widgets("PATCH", path, widget("one"), headers=APPLY, code=201)
    assert made["metadata"]["managedFields"][0]["manager"] == "me"
    same = await widgets("PATCH", path, widget("one"), headers=APPLY)
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    other = f"{WIDGETS}/one?fieldManager=you"
    refused = await widgets("PATCH", other, widget("one", size=5), headers=APPLY, code=409)
    assert refused["details"]["causes"][0]["field"] == ".spec.size"
    forced = await widgets("PATCH", f"{other}&force=true", widget("one", size=5), headers=APPLY)
    assert forced["spec"]["size"] == 5


async def test_lists_tables_and_selectors(widgets: Http) -> None:
    await widgets("POST", WIDGETS, widget("one"), code=201)
    await widgets("POST", WIDGETS, widget("two", mode="slow"), code=201)
    listed = await widgets("GET", "/apis/example.com/v1/widgets")
    assert (listed["kind"], len(listed["items"])) == ("WidgetList", 2)
    slow = await widgets("GET", f"{WIDGETS}?fieldSelector=spec.mode%3Dslow")
    assert [one["metadata"]["name"] for one in slow["items"]] == ["two"]
    refused = await widgets("GET", f"{WIDGETS}?fieldSelector=spec.size%3D3", code=400)
    assert refused["message"] == "field label not supported: spec.size"
    table = await widgets("GET", WIDGETS, headers={"Accept": TABLE})
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Size", "Age"]
    assert table["rows"][0]["cells"][:2] == ["one", 3]


async def test_a_watch_sees_custom_objects(widgets: Http) -> None:
    events: list[tuple[str, int]] = []
    async with widgets.session.get(f"{WIDGETS}?watch=1") as response:
        await widgets("POST", WIDGETS, widget("one"), code=201)
        await widgets("PATCH", f"{WIDGETS}/one", {"spec": {"size": 4}}, headers=MERGE)
        await widgets("DELETE", f"{WIDGETS}/one")
        async with asyncio.timeout(30):
            while len(events) < 3:
                event = json.loads(await response.content.readline())
                events.append((event["type"], event["object"]["spec"]["size"]))
    assert events == [("ADDED", 3), ("MODIFIED", 4), ("DELETED", 4)]


async def test_a_definition_goes_when_its_last_object_is_gone(widgets: Http) -> None:
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    await widgets("POST", WIDGETS, held, code=201)
    await widgets("POST", WIDGETS, widget("free"), code=201)
    going = await widgets("DELETE", f"{DEFINITIONS}/widgets.example.com")
    assert "customresourcecleanup.apiextensions.k8s.io" in going["metadata"]["finalizers"]
    left = (await widgets("GET", WIDGETS))["items"]
    assert [one["metadata"]["name"] for one in left] == ["held"]
    refused = await widgets("POST", WIDGETS, widget("late"), code=405)
    assert "terminating" in refused["message"]
    free = {"metadata": {"finalizers": None}}
    await widgets("PATCH", f"{WIDGETS}/held", free, headers=MERGE)
    await widgets("GET", f"{DEFINITIONS}/widgets.example.com", code=404)
    await widgets("GET", WIDGETS, code=404)


async def test_short_names_may_change_while_objects_are_stored(widgets: Http) -> None:
    await widgets("POST", WIDGETS, widget("one"), code=201)
    names = {"spec": {"names": {"shortNames": ["wdg"]}}}
    path = f"{DEFINITIONS}/widgets.example.com"
    await widgets("PATCH", path, names, headers=MERGE)
    listed = await widgets("GET", "/apis/example.com/v1")
    assert listed["resources"][0]["shortNames"] == ["wdg"]
    assert (await widgets("GET", f"{WIDGETS}/one"))["spec"]["size"] == 3
    refused = await widgets("PATCH", path, {"spec": {"scope": "Cluster"}}, headers=MERGE, code=422)
    assert "spec.scope" in refused["message"]


async def test_definitions_and_objects_survive_a_restart(tmp_path: Path) -> None:
    root = tmp_path / "state"
    async with serving(root) as first, signed_in(first) as session:
        http = Http(session)
        await http("POST", DEFINITIONS, definition(), code=201)
        made = await http("POST", WIDGETS, widget("one"), code=201)
        since = made["metadata"]["resourceVersion"]
        await http("PATCH", f"{WIDGETS}/one", {"spec": {"size": 7}}, headers=MERGE)
    async with serving(root) as second, signed_in(second) as session:
        http = Http(session)
        assert (await http("GET", f"{WIDGETS}/one"))["spec"]["size"] == 7
        path = f"{WIDGETS}?watch=1&resourceVersion={since}"
        async with session.get(path) as response:
            event = json.loads(await response.content.readline())
        assert (event["type"], event["object"]["spec"]["size"]) == ("MODIFIED", 7)
