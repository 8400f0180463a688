"""S8: which pods are endpoints of a Service, in slices and in Endpoints (semantics 4.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nodrop.client.actions import Action, Create
from nodrop.client.cache import Cache
from nodrop.client.protocol import ALL, Page, Scope, WatchEvent
from nodrop.controllers.endpointslice.controller import EndpointSliceController, Snapshot
from nodrop.model.kinds import ENDPOINTS, ENDPOINTSLICE, POD, SERVICE, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, key_of
from tests.unit.controllers.endpointslice.test_endpointslice import NOW, pod
from tests.unit.controllers.endpointslice.test_endpointslice import SERVICE as WEB


def _service(**spec: object) -> Obj:
    return {**WEB, "spec": {**WEB["spec"], **spec}}


def _written(service: Obj, *pods: Obj) -> tuple[Obj, Obj]:
    """(slice, Endpoints) for ``service``."""
    plan = EndpointSliceController().decide(Snapshot(service, pods, (), None, NOW))
    made = [action.obj for action in plan.actions if isinstance(action, Create)]
    (piece,) = [one for one in made if one["kind"] == "EndpointSlice"]
    (legacy,) = [one for one in made if one["kind"] == "Endpoints"]
    return piece, legacy


def _names(addresses: list[Obj]) -> list[str]:
    return [one["targetRef"]["name"] for one in addresses]


class _Listed:
    """A client whose objects never change."""

    def __init__(self, *objects: Obj) -> None:
        self._objects = objects

    async def get(self, key: ObjectKey) -> Obj:
        raise NotImplementedError

    async def apply(self, action: Action) -> Obj | None:
        raise NotImplementedError

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        items = tuple(one for one in self._objects if key_of(one).kind == kind)
        return Page(items, Revision(1))

    async def watch(
        self, kind: Kind, scope: Scope = ALL, *, since: Revision
    ) -> AsyncIterator[WatchEvent]:
        await asyncio.Event().wait()
        yield WatchEvent("ADDED", {}, since)


@pytest.mark.parametrize(
    ("change", "listed"),
    [
        ({}, True),
        ({"phase": "Pending"}, True),
        ({"podIP": ""}, False),
        ({"phase": "Succeeded"}, False),
        ({"phase": "Failed"}, False),
    ],
)
async def test_a_pod_with_an_address_is_listed_until_it_has_ended(
    change: Obj, listed: bool
) -> None:
    one = pod(1)
    one["metadata"] |= {"labels": {"app": "web"}, "resourceVersion": "1"}
    one["status"] |= change
    other = pod(2)
    other["metadata"] |= {"labels": {"app": "api"}, "resourceVersion": "1"}
    service = {**WEB, "metadata": {**WEB["metadata"], "resourceVersion": "1"}}
    cache = Cache(_Listed(service, one, other), (SERVICE, POD, ENDPOINTSLICE, ENDPOINTS))
    running = asyncio.ensure_future(cache.run())
    await cache.synced()
    snapshot = EndpointSliceController().read(cache, key_of(service), NOW)
    running.cancel()
    assert snapshot is not None
    assert [held["metadata"]["name"] for held in snapshot.pods] == ["web-1"] * listed


def test_endpoints_drop_who_is_ending_and_name_who_is_not_ready() -> None:
    pods = (pod(1), pod(2, ready_for_s=None), pod(3, deleting=True))
    piece, legacy = _written(_service(), *pods)
    states = [tuple(one["conditions"].values()) for one in piece["endpoints"]]
    assert states == [(True, True, False), (False, False, False), (False, True, True)]
    (subset,) = legacy["subsets"]
    assert _names(subset["addresses"]) == ["web-1"]
    assert _names(subset["notReadyAddresses"]) == ["web-2"]
    assert subset["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]


def test_where_readiness_does_not_matter_all_are_ready() -> None:
    pods = (pod(1), pod(2, ready_for_s=None), pod(3, deleting=True))
    piece, legacy = _written(_service(publishNotReadyAddresses=True), *pods)
    assert [one["conditions"]["ready"] for one in piece["endpoints"]] == [True] * 3
    assert [one["conditions"]["serving"] for one in piece["endpoints"]] == [True, False, True]
    assert _names(legacy["subsets"][0]["addresses"]) == ["web-1", "web-2", "web-3"]


def test_a_named_port_needs_name_and_protocol() -> None:
    udp = pod(1)
    udp["spec"]["containers"][0]["ports"][0]["protocol"] = "UDP"
    piece, legacy = _written(_service(), udp, pod(2))
    assert [one["targetRef"]["name"] for one in piece["endpoints"]] == ["web-2"]
    assert _names(legacy["subsets"][0]["addresses"]) == ["web-2"]


@pytest.mark.parametrize("headless", [False, True])
def test_labels_name_and_owner_of_a_slice(headless: bool) -> None:
    service = _service(clusterIP="None" if headless else "127.1.0.9")
    service["metadata"] = {**service["metadata"], "labels": {"team": "shop"}}
    piece, legacy = _written(service, pod(1))
    marks = {"service.kubernetes.io/headless": ""} if headless else {}
    assert piece["metadata"]["labels"] == {
        "team": "shop",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        **marks,
    }
    assert piece["metadata"]["generateName"] == "web-"
    (owner,) = piece["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Service", "web", True)
    assert legacy["metadata"]["labels"] == {
        "team": "shop",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
        **marks,
    }


def test_endpoints_hold_a_thousand_addresses_at_most() -> None:
    pods = []
    for number in range(1, 1003):
        one = pod(number)
        one["status"]["podIP"] = f"127.2.{number // 250}.{number % 250}"
        pods.append(one)
    plan = EndpointSliceController().decide(Snapshot(_service(), tuple(pods), (), None, NOW))
    made = [action.obj for action in plan.actions if isinstance(action, Create)]
    (legacy,) = [one for one in made if one["kind"] == "Endpoints"]
    assert len(legacy["subsets"][0]["addresses"]) == 1000
