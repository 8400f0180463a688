"""Whatever the registry accepts, no component raises: one object must not end the engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodrop.agent.plan.command import container_argv, working_folder
from nodrop.agent.plan.env import ConfigurationError, PodFacts, container_environment
from nodrop.agent.plan.pod import Observed, pod_status, recorded_container, recorded_end
from nodrop.agent.plan.spec import read_pod
from nodrop.agent.plan.termination import budget_of, drain_share_s, longest_sleep_s
from nodrop.agent.plan.volumes import VolumeFailure, VolumeSources, plan_volume
from nodrop.client.cache import Cache
from nodrop.client.recorder import EventRecorder
from nodrop.controllers.garbage.controller import GarbageController
from nodrop.controllers.interface import Controller, Outcome
from nodrop.model.definitions import schema_of
from nodrop.model.errors import ApiError
from nodrop.model.kinds import (
    DEPLOYMENT,
    ENDPOINTSLICE,
    INGRESS,
    INGRESSCLASS,
    KINDS,
    POD,
    SERVICE,
    kind_of,
)
from nodrop.model.meta import Obj, ObjectKey, is_deleting, key_of
from nodrop.proxy.haproxy.layout import Placed, default_layout, place, plan_needs
from nodrop.proxy.haproxy.plan import Served, diff_servers
from nodrop.proxy.haproxy.render import MainShape, render_main, render_map, render_maps
from nodrop.proxy.pools import plan_refusals, pods_in_slices, services_by_listener
from nodrop.proxy.routing import plan_table
from nodrop.proxy.sources import Sources
from nodrop.registry.interface import Allocation, DeleteOptions
from nodrop.registry.local import LocalClient
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore
from nodrop.wiring.controllers import all_controllers
from tests.properties.odd_objects import mutated, odd_value
from tests.unit.model import manifests as m
from tests.unit.registry.world import StandingClock

_SHAPE = MainShape(
    admin_socket="admin",
    services_fd=3,
    streams_fd=5,
    web_fds=(4,),
    layout=default_layout(64),
    max_connections=100,
)


def _plain(api_version: str, kind: str, name: str = "web", **fields: Any) -> Obj:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}


_PROBE = {"httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": "b"}]}}
_CONTAINER: Obj = {
    "ports": [{"name": "http", "containerPort": 80}],
    "env": [
        {"name": "A", "value": "$(B)"},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}},
        {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ],
    "envFrom": [{"secretRef": {"name": "web"}}],
    "readinessProbe": _PROBE,
    "livenessProbe": {"exec": {"command": ["true"]}},
    "lifecycle": {"preStop": {"sleep": {"seconds": 2}}, "stopSignal": "SIGRTMIN+3"},
    "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
    "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}],
}
_SELECTOR = {
    "matchLabels": {"app": "web"},
    "matchExpressions": [{"key": "app", "operator": "Exists"}],
}


def _pod_spec() -> Obj:
    volumes = [
        {"name": "v", "configMap": {"name": "web", "items": [{"key": "a", "path": "b"}]}},
        {"name": "w", "projected": {"sources": [{"secret": {"name": "web"}}]}},
        {"name": "h", "hostPath": {"path": "/tmp"}},
    ]
    spec: Obj = m.pod(**_CONTAINER)["spec"]
    return {**spec, "volumes": volumes, "terminationGracePeriodSeconds": 5}


def valid_objects() -> list[Obj]:
    """One of every kind that somebody acts on, all belonging together."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": _pod_spec()}
    workload = {"replicas": 2, "selector": _SELECTOR, "template": template}
    endpoint = {
        "addresses": ["127.9.0.5"],
        "conditions": {"ready": True},
        "targetRef": {"kind": "Pod", "name": "web", "uid": "u"},
    }
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}
    piece = _plain(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "by-hand",
        addressType="IPv4",
        endpoints=[endpoint],
        ports=[{"name": "", "port": 80}],
    )
    piece["metadata"]["labels"] = {"kubernetes.io/service-name": "web"}
    pod = _plain("v1", "Pod", spec=_pod_spec())
    pod["metadata"]["labels"] = {"app": "web"}
    return [
        m.configmap(data={"a": "b"}, binaryData={"c": "YQ=="}),
        m.secret(data={"a": "Yg=="}),
        pod,
        m.deployment(**workload, strategy=strategy, minReadySeconds=1),
        _plain("apps/v1", "ReplicaSet", "alone", spec=workload),
        m.service(ports=[{"name": "http", "port": 80, "targetPort": "http"}], type="NodePort"),
        _plain("v1", "Endpoints", "legacy", subsets=[{"addresses": [{"ip": "127.9.0.5"}]}]),
        piece,
        m.ingress(ingressClassName="nodrop"),
        _plain(
            "policy/v1",
            "PodDisruptionBudget",
            spec={"minAvailable": "50%", "selector": _SELECTOR},
        ),
    ]


class Odd:
    """A registry that gets odd writes, and all that reads from it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = StandingClock()
        self.store = SqliteStore(":memory:")
        allocation = Allocation(pod_cidr="127.9.0.0/17", service_cidr="127.9.128.0/17")
        self.registry = Registry(self.store, self.clock, allocation, random.Random(1))
        recorder = EventRecorder("odd", self.clock, random.Random(2))
        self.client = LocalClient(self.registry, recorder)

    def write(self, valid: Sequence[Obj]) -> None:
        for obj in valid:
            kind = kind_of(obj["apiVersion"], obj["kind"])
            assert kind is not None
            if not self._create(obj, changes=self.rng.choice((0, 0, 1, 1, 2, 5))):
                self._create(obj, changes=0)
            key = ObjectKey(kind, "default", obj["metadata"]["name"])
            for _ in range(self.rng.randint(0, 3)):
                self._change(key)
        if self.rng.random() < 0.5:
            pods = [obj for obj in valid if obj["kind"] == "Pod"]
            self._delete(self.rng.choice(self.rng.choice((pods, valid))))

    def _create(self, obj: Obj, *, changes: int) -> bool:
        kind = kind_of(obj["apiVersion"], obj["kind"])
        assert kind is not None
        for _ in range(changes):
            obj = mutated(obj, kind, self.rng)
        try:
            self.registry.create(kind, "default", obj)
        except ApiError:
            return False
        return True

    def _change(self, key: ObjectKey) -> None:
        """A status or the object itself, as a merge patch or as a whole."""
        rng, schema = self.rng, schema_of(key.kind)
        try:
            if "status" in key.kind.subresources and rng.random() < 0.6:
                patch = {"status": odd_value(schema.properties["status"], rng, 4)}
                self.registry.patch(key, patch, "merge", subresource="status")
            elif rng.random() < 0.5:
                self.registry.update(key, mutated(self.registry.get(key), key.kind, rng))
            else:
                name = rng.choice(sorted(schema.properties))
                patch = {name: odd_value(schema.properties[name], rng, 4)}
                self.registry.patch(key, patch, rng.choice(("merge", "strategic")))
        except ApiError:
            pass

    def _delete(self, obj: Obj) -> None:
        grace_s = self.rng.choice((None, 0, -1, 2**63 - 1))
        try:
            self.registry.delete(key_of(obj), DeleteOptions(grace_period_s=grace_s))
        except ApiError:
            pass

    # Readers

    async def read(self) -> None:
        """Two rounds, so that what controllers make of it is read as well."""
        for _ in range(2):
            cache = Cache(self.client, KINDS)
            async with asyncio.TaskGroup() as group:
                following = group.create_task(cache.run())
                await cache.synced()
                following.cancel()
            self._route(cache)
            self._look_after_pods(cache)
            for controller in (*all_controllers([("127.0.0.1", 80)]), GarbageController(KINDS)):
                await self._control(controller, cache)
            self.clock.advance(20)

    async def _control(self, controller: Controller[Any], cache: Cache) -> None:
        keys = {
            key: None
            for watch in controller.watches
            for obj in cache.list(watch.kind)
            for key in watch.keys(cache, obj)
        }
        for key in keys:
            snapshot = controller.read(cache, key, self.clock.now())
            if snapshot is None:
                continue
            for action in controller.decide(snapshot).actions[:10]:
                result: Obj | ApiError | None
                try:
                    result = await self.client.apply(action)
                except ApiError as error:
                    result = error
                controller.follow_up(snapshot, Outcome(action, result))

    def _look_after_pods(self, cache: Cache) -> None:
        for pod in cache.list(POD):
            _look_after(pod, cache, self.clock.now())

    def _route(self, cache: Cache) -> None:
        services = cache.list(SERVICE)
        slices = cache.list(ENDPOINTSLICE)
        sources = Sources(
            services=services,
            slices=slices,
            ingresses=cache.list(INGRESS),
            classes=cache.list(INGRESSCLASS),
        )
        table = plan_table(sources)
        pods_in_slices(slices)
        plan_refusals(services)
        services_by_listener(services, "127.0.0.1")
        needs = plan_needs(table, Placed())
        layout = _SHAPE.layout.grown(needs.counts())
        placed = place(needs, Placed(), layout, ())
        assert placed is not None
        for entries in render_maps(table, placed).values():
            lines = render_map(entries).splitlines()
            assert [tuple(line.split()) for line in lines] == sorted(entries.items())
        assert "\n\n\n" not in render_main(replace(_SHAPE, layout=layout), table, placed)
        change = diff_servers(Served(), table, placed, layout)
        for command in (*change.before, *change.after):
            assert len(command.splitlines()) == 1
            assert command.startswith(("set server", "add server")), command


def _look_after(pod: Obj, cache: Cache, now: datetime) -> None:
    spec = read_pod(pod)
    facts = PodFacts("127.9.0.5", "127.0.0.1", "node")

    def lookup(source: str, name: str) -> Obj | None:
        kind = kind_of("v1", source)
        assert kind is not None
        return cache.get(ObjectKey(kind, "default", name))

    for container in spec.everyone:
        status = recorded_container(pod, container.name)
        recorded_end(status, "state")
        recorded_end(status, "lastState")
        try:
            own = container_environment(
                container, pod, facts=facts, lookup=lookup, services=cache.list(SERVICE)
            ).own
        except ConfigurationError:
            own = {}
        container_argv(container, own, cwd=working_folder(container, "/"))
    for index, volume in enumerate(spec.volumes):
        try:
            plan_volume(volume, index, VolumeSources(pod, facts, lookup, lambda *_: "t"))
        except (ConfigurationError, VolumeFailure):
            pass
    observed = Observed(containers=(), init=(), pod_ip="", host_ip="127.0.0.1", now=now)
    pod_status(pod, spec, observed)
    drain_share_s(spec.grace_s, longest_sleep_s(spec))
    if is_deleting(pod):
        budget_of(pod, now).left_s(now)


def test_the_valid_objects_are_accepted() -> None:
    """Else everything below would prove nothing."""
    odd = Odd(0)
    for obj in valid_objects():
        kind = kind_of(obj["apiVersion"], obj["kind"])
        assert kind is not None
        odd.registry.create(kind, "default", obj)
    asyncio.run(odd.read())
    assert odd.registry.get(ObjectKey(DEPLOYMENT, "default", "web"))["metadata"]["annotations"]
    odd.store.close()


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
@example(9918)  # a hostPath without a path
def test_whatever_is_accepted_no_component_raises(seed: int) -> None:
    odd = Odd(seed)
    try:
        odd.write(valid_objects())
        asyncio.run(odd.read())
    finally:
        odd.store.close()
