"""What the API server fills in (semantics 1.1, 3.5, 4.3)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from nodrop.model.defaults import apply_defaults
from nodrop.model.defaults.pod import pull_policy
from nodrop.model.kinds import KINDS
from nodrop.model.meta import Obj
from tests.unit.model import manifests as m


def at(obj: Any, path: str) -> Any:
    for step in path.split("."):
        obj = obj[int(step)] if step.isdigit() else obj.get(step)
    return obj


PROBED = m.pod(
    readinessProbe={"httpGet": {"port": 80}, "timeoutSeconds": 0, "periodSeconds": 5},
    startupProbe={"grpc": {"port": 90}},
    lifecycle={"preStop": {"httpGet": {"port": 80}}, "stopSignal": "SIGTERM"},
    ports=[{"containerPort": 80}],
    env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    resources={"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
)
TEMPLATE = "spec.template.spec"
NEGATIVE = {"spec": {"terminationGracePeriodSeconds": -5}}
VOLUMES = {"volumes": [{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}]}


@pytest.mark.parametrize(
    ("obj", "path", "value"),
    [
        (m.deployment(), "spec.replicas", 1),
        (m.deployment(replicas=0), "spec.replicas", 0),
        (m.deployment(replicas=None), "spec.replicas", 1),
        (m.deployment(), "spec.strategy.type", "RollingUpdate"),
        (m.deployment(), "spec.strategy.rollingUpdate.maxSurge", "25%"),
        (m.rolling(maxSurge=0), "spec.strategy.rollingUpdate.maxSurge", 0),
        (m.rolling(maxSurge=2), "spec.strategy.rollingUpdate.maxUnavailable", "25%"),
        (m.deployment(strategy={"type": "Recreate"}), "spec.strategy", {"type": "Recreate"}),
        (m.deployment(), "spec.revisionHistoryLimit", 10),
        (m.deployment(), "spec.progressDeadlineSeconds", 600),
        (m.deployment(), f"{TEMPLATE}.restartPolicy", "Always"),
        (m.deployment(), f"{TEMPLATE}.terminationGracePeriodSeconds", 30),
        (m.deployment(template=NEGATIVE), f"{TEMPLATE}.terminationGracePeriodSeconds", 1),
        (m.deployment(), f"{TEMPLATE}.dnsPolicy", "ClusterFirst"),
        (m.deployment(), f"{TEMPLATE}.schedulerName", "default-scheduler"),
        (m.deployment(), f"{TEMPLATE}.securityContext", {}),
        (m.deployment(), f"{TEMPLATE}.enableServiceLinks", None),
        (m.deployment(), f"{TEMPLATE}.containers.0.imagePullPolicy", "IfNotPresent"),
        (m.deployment(), f"{TEMPLATE}.containers.0.terminationMessagePolicy", "File"),
        (
            m.deployment(),
            f"{TEMPLATE}.containers.0.terminationMessagePath",
            "/dev/termination-log",
        ),
        (PROBED, "spec.enableServiceLinks", True),
        (PROBED, "spec.containers.0.readinessProbe.timeoutSeconds", 1),
        (PROBED, "spec.containers.0.readinessProbe.periodSeconds", 5),
        (PROBED, "spec.containers.0.readinessProbe.successThreshold", 1),
        (PROBED, "spec.containers.0.readinessProbe.failureThreshold", 3),
        (PROBED, "spec.containers.0.readinessProbe.initialDelaySeconds", None),
        (PROBED, "spec.containers.0.readinessProbe.httpGet.path", "/"),
        (PROBED, "spec.containers.0.readinessProbe.httpGet.scheme", "HTTP"),
        (PROBED, "spec.containers.0.startupProbe.grpc.service", ""),
        (PROBED, "spec.containers.0.lifecycle.preStop.httpGet.path", "/"),
        (PROBED, "spec.containers.0.ports.0.protocol", "TCP"),
        (PROBED, "spec.containers.0.env.0.valueFrom.fieldRef.apiVersion", "v1"),
        (PROBED, "spec.containers.0.resources.requests", {"cpu": "500m", "memory": "1Gi"}),
        (m.deployment(template={"spec": VOLUMES}), f"{TEMPLATE}.volumes.0.emptyDir", {}),
        (
            m.deployment(template={"spec": VOLUMES}),
            f"{TEMPLATE}.volumes.1.secret.defaultMode",
            0o644,
        ),
        (m.service(), "spec.type", "ClusterIP"),
        (m.service(), "spec.sessionAffinity", "None"),
        (m.service(), "spec.internalTrafficPolicy", "Cluster"),
        (m.service(), "spec.ipFamilies", ["IPv4"]),
        (m.service(), "spec.ipFamilyPolicy", "SingleStack"),
        (m.service(), "spec.externalTrafficPolicy", None),
        (m.service(type="NodePort"), "spec.externalTrafficPolicy", "Cluster"),
        (m.service(), "spec.ports.0.targetPort", 80),
        (m.service(ports=[{"port": 80, "targetPort": "http"}]), "spec.ports.0.targetPort", "http"),
        (m.service(), "spec.ports.0.protocol", "TCP"),
        (
            m.service(sessionAffinity="ClientIP"),
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            10800,
        ),
        (m.secret(), "type", "Opaque"),
        (
            m.secret(data={"a": "MQ==", "b": "MQ=="}, stringData={"b": "ü"}),
            "data",
            {"a": "MQ==", "b": "w7w="},
        ),
        (m.secret(stringData={"a": "x"}), "stringData", None),
    ],
)
def test_default(obj: Obj, path: str, value: Any) -> None:
    assert at(apply_defaults(obj), path) == value


def test_a_namespace_is_labelled_with_its_name_and_held_by_a_finalizer() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    filled = apply_defaults(namespace)
    assert filled["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert filled["spec"]["finalizers"] == ["kubernetes"]
    assert filled["status"]["phase"] == "Active"


def test_a_namespace_that_is_being_deleted_gets_no_finalizer_back() -> None:
    meta = {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta, "spec": {}}
    assert "finalizers" not in apply_defaults(obj)["spec"]


def test_slices_and_endpoints_default_their_ports() -> None:
    slices = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "ports": [{"port": 1}]}
    assert apply_defaults(slices)["ports"] == [{"port": 1, "name": "", "protocol": "TCP"}]
    legacy = {"apiVersion": "v1", "kind": "Endpoints", "subsets": [{"ports": [{"port": 1}]}]}
    assert apply_defaults(legacy)["subsets"][0]["ports"] == [{"port": 1, "protocol": "TCP"}]


@pytest.mark.parametrize(
    "obj", [m.deployment(), PROBED, m.service(), m.ingress(), m.secret(stringData={"a": "b"})]
)
def test_defaulting_is_idempotent_and_leaves_its_input_alone(obj: Obj) -> None:
    before = copy.deepcopy(obj)
    once = apply_defaults(obj)
    assert apply_defaults(once) == once
    assert obj == before


def test_nulls_are_dropped() -> None:
    created = m.pod() | {"metadata": m.metadata(creationTimestamp=None, labels=None)}
    assert apply_defaults(created)["metadata"] == m.metadata()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_an_almost_empty_object_of_every_kind_can_be_defaulted(kind: Any) -> None:
    filled = apply_defaults({"apiVersion": kind.api_version, "kind": kind.kind})
    assert filled["metadata"].keys() <= {"labels"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("app", "Always"),
        ("app:latest", "Always"),
        ("app:v1", "IfNotPresent"),
        ("registry:5000/app", "Always"),
        ("registry:5000/app:v1", "IfNotPresent"),
        ("app@sha256:00", "IfNotPresent"),
        ("app:latest@sha256:00", "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy
