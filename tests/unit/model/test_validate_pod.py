"""Why a pod is refused, or a change of one."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.defaults import apply_defaults
from nodrop.model.meta import Obj
from nodrop.model.validate import missing_command, validate_create, validate_update
from nodrop.model.validate.pod import UPDATE_RULE
from tests.unit.model import manifests as m

C = "spec.containers[0]"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
RANGE = "must be between 1 and 65535, inclusive"
GET: Obj = {"httpGet": {"port": 80}}
ONE_SOURCE = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
)


def texts(obj: Obj) -> list[str]:
    return [str(cause) for cause in validate_create(apply_defaults(obj))]


def env(**variable: Any) -> Obj:
    return {"env": [variable]}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"name": ""}, f"{C}.name: Required value"),
        ({"name": "My_App"}, f'{C}.name: Invalid value: "My_App": {LABEL}'),
        ({"image": ""}, f"{C}.image: Required value"),
        (
            {"image": " a"},
            f'{C}.image: Invalid value: " a": must not have leading or trailing whitespace',
        ),
        (
            {"imagePullPolicy": "Sometimes"},
            f'{C}.imagePullPolicy: Unsupported value: "Sometimes": '
            'supported values: "Always", "IfNotPresent", "Never"',
        ),
        ({"ports": [{}]}, f"{C}.ports[0].containerPort: Required value"),
        (
            {"ports": [{"containerPort": 70000}]},
            f"{C}.ports[0].containerPort: Invalid value: 70000: {RANGE}",
        ),
        (
            {"ports": [{"containerPort": 1, "protocol": "HTTP"}]},
            f'{C}.ports[0].protocol: Unsupported value: "HTTP": '
            'supported values: "SCTP", "TCP", "UDP"',
        ),
        (
            {
                "ports": [
                    {"containerPort": 1, "name": "http"},
                    {"containerPort": 2, "name": "http"},
                ]
            },
            f'{C}.ports[1].name: Duplicate value: "http"',
        ),
        (
            {"ports": [{"containerPort": 1, "name": "much-too-long-a-name"}]},
            f'{C}.ports[0].name: Invalid value: "much-too-long-a-name": '
            "must be no more than 15 bytes",
        ),
        (env(name=""), f"{C}.env[0].name: Required value"),
        (
            env(name="A=B"),
            f'{C}.env[0].name: Invalid value: "A=B": a valid environment variable name must '
            "consist only of printable ASCII characters other than '='",
        ),
        (env(name="A", valueFrom={}), f'{C}.env[0].valueFrom: Invalid value: "": {ONE_SOURCE}'),
        (
            env(name="A", value="x", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
            f'{C}.env[0].valueFrom: Invalid value: "": '
            "may not be specified when `value` is not empty",
        ),
        (
            env(name="A", valueFrom={"fieldRef": {"fieldPath": "spec.replicas"}}),
            f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.replicas": '
            "error converting fieldPath: field label not supported: spec.replicas",
        ),
        (
            env(name="A", valueFrom={"secretKeyRef": {"name": "s"}}),
            f"{C}.env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            {"envFrom": [{}]},
            f'{C}.envFrom[0]: Invalid value: "": '
            "must specify one of: `configMapRef` or `secretRef`",
        ),
        (
            {"envFrom": [{"configMapRef": {}}]},
            f"{C}.envFrom[0].configMapRef.name: Required value",
        ),
        (
            {"restartPolicy": "Always"},
            f"{C}.restartPolicy: Forbidden: may not be set for non-init containers",
        ),
        (
            {
                "volumeMounts": [
                    {"name": "x", "mountPath": "/x", "subPath": "a", "subPathExpr": "$(A)"}
                ]
            },
            f'{C}.volumeMounts[0].subPathExpr: Invalid value: "$(A)": '
            "subPathExpr and subPath are mutually exclusive",
        ),
        (
            {"volumeMounts": [{"name": "x", "mountPath": "/x"}]},
            f'{C}.volumeMounts[0].name: Not found: "x"',
        ),
        (
            {"resources": {"limits": {"memory": "lots"}}},
            f'{C}.resources.limits[memory]: Invalid value: "lots": quantities must match the '
            "regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_a_container_is_refused(container: Obj, expected: str) -> None:
    assert expected in texts(m.pod(**container))


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        (
            {"readinessProbe": {}},
            f"{C}.readinessProbe: Required value: must specify a handler type",
        ),
        (
            {"readinessProbe": GET | {"exec": {"command": ["x"]}}},
            f"{C}.readinessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
        ),
        (
            {"livenessProbe": GET | {"successThreshold": 2}},
            f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            {"startupProbe": GET | {"successThreshold": 3}},
            f"{C}.startupProbe.successThreshold: Invalid value: 3: must be 1",
        ),
        (
            {"readinessProbe": GET | {"terminationGracePeriodSeconds": 5}},
            f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: "
            "must not be set for readinessProbes",
        ),
        (
            {"livenessProbe": GET | {"terminationGracePeriodSeconds": 0}},
            f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: "
            "must be greater than 0",
        ),
        (
            {"livenessProbe": GET | {"periodSeconds": -1}},
            f"{C}.livenessProbe.periodSeconds: Invalid value: -1: "
            "must be greater than or equal to 0",
        ),
        (
            {"readinessProbe": {"httpGet": {"port": 0}}},
            f"{C}.readinessProbe.httpGet.port: Invalid value: 0: {RANGE}",
        ),
        (
            {"readinessProbe": {"httpGet": {"port": 80, "scheme": "FTP"}}},
            f'{C}.readinessProbe.httpGet.scheme: Unsupported value: "FTP": '
            'supported values: "HTTP", "HTTPS"',
        ),
        (
            {"readinessProbe": {"tcpSocket": {"port": "99"}}},
            f'{C}.readinessProbe.tcpSocket.port: Invalid value: "99": '
            "must contain at least one letter (a-z)",
        ),
        (
            {"readinessProbe": {"exec": {"command": []}}},
            f"{C}.readinessProbe.exec.command: Required value",
        ),
        (
            {"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
            f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be greater than 0 and less "
            "than terminationGracePeriodSeconds (30)",
        ),
        (
            {"lifecycle": {"stopSignal": "SIGRTMIN+30"}},
            f'{C}.lifecycle.stopSignal: Invalid value: "SIGRTMIN+30": must be the name of a '
            "signal, such as SIGTERM, SIGUSR1, SIGRTMIN+3 or SIGRTMAX-2",
        ),
        (
            {"livenessProbe": GET | {"terminationGracePeriodSeconds": 2**31}},
            f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 2147483648: "
            "must be no more than 2147483647",
        ),
        (
            {"lifecycle": {"postStart": {}}},
            f"{C}.lifecycle.postStart: Required value: must specify a handler type",
        ),
    ],
)
def test_probes_and_hooks_are_refused(probes: Obj, expected: str) -> None:
    assert texts(m.pod(**probes)) == [expected]


@pytest.mark.parametrize(
    "container",
    [
        {"lifecycle": {"preStop": {"sleep": {"seconds": 30}}}},
        {"lifecycle": {"stopSignal": "SIGRTMIN+3"}},
        {"lifecycle": {"preStop": {"sleep": {"seconds": 0}}}},
        {"lifecycle": {"preStop": {"tcpSocket": {"port": 80}}}},
        {"readinessProbe": GET | {"successThreshold": 4, "failureThreshold": 0}},
        {"readinessProbe": {"grpc": {"port": 80}}},
        {"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]},
        {"env": [{"name": "1A.b-c"}]},
        {"command": None},
    ],
)
def test_containers_that_are_fine(container: Obj) -> None:
    assert texts(m.pod(**container)) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.containers", [], "spec.containers: Required value"),
        (
            "spec.restartPolicy",
            "Maybe",
            'spec.restartPolicy: Unsupported value: "Maybe": '
            'supported values: "Always", "OnFailure", "Never"',
        ),
        (
            "spec.activeDeadlineSeconds",
            0,
            "spec.activeDeadlineSeconds: Invalid value: 0: "
            "must be between 1 and 2147483647, inclusive",
        ),
        (
            "spec.terminationGracePeriodSeconds",
            2**63 - 1,
            "spec.terminationGracePeriodSeconds: Invalid value: 9223372036854775807: "
            "must be no more than 2147483647",
        ),
        (
            "spec.volumes",
            [{"name": "v"}, {"name": "v"}],
            'spec.volumes[1].name: Duplicate value: "v"',
        ),
        (
            "spec.volumes",
            [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}],
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            "spec.initContainers",
            [{"name": "app", "image": "x"}],
            'spec.initContainers[0].name: Duplicate value: "app"',
        ),
        (
            "spec.initContainers",
            [{"name": "init", "image": "x", "readinessProbe": GET}],
            "spec.initContainers[0].readinessProbe: Forbidden: "
            "may not be set for init containers without restartPolicy=Always",
        ),
        (
            "spec.initContainers",
            [{"name": "init", "image": "x", "restartPolicy": "Never"}],
            'spec.initContainers[0].restartPolicy: Unsupported value: "Never": '
            'supported values: "Always"',
        ),
    ],
)
def test_a_pod_is_refused(path: str, value: Any, expected: str) -> None:
    assert texts(m.changed(m.pod(), path, value)) == [expected]


def test_a_second_container_needs_a_name_of_its_own() -> None:
    twice = m.changed(m.pod(), "spec.containers", m.pod()["spec"]["containers"] * 2)
    assert texts(twice) == ['spec.containers[1].name: Duplicate value: "app"']


def test_containers_without_a_command_are_named() -> None:
    spec = {
        "initContainers": [{"name": "i"}],
        "containers": [{"name": "a", "command": ["x"]}, {"name": "b", "command": []}],
    }
    assert missing_command(spec) == ["initContainers[0].command", "containers[1].command"]


OLD = apply_defaults(m.changed(m.pod(), "spec.activeDeadlineSeconds", 60))


def changes(path: str, value: Any) -> list[str]:
    return [str(cause) for cause in validate_update(m.changed(OLD, path, value), OLD)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.containers.0.image", "hello:v2"),
        ("spec.activeDeadlineSeconds", 30),
        ("spec.tolerations", [{"operator": "Exists"}]),
        ("metadata.labels", {"a": "b"}),
        ("status", {"phase": "Running"}),
    ],
)
def test_what_may_change_in_a_pod(path: str, value: Any) -> None:
    assert changes(path, value) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "spec.containers.0.command",
            ["x"],
            f"spec: Forbidden: {UPDATE_RULE}; changed: containers",
        ),
        (
            "spec.terminationGracePeriodSeconds",
            5,
            f"spec: Forbidden: {UPDATE_RULE}; changed: terminationGracePeriodSeconds",
        ),
        (
            "spec.activeDeadlineSeconds",
            90,
            "spec.activeDeadlineSeconds: Invalid value: 90: "
            "must be less than or equal to previous value (60)",
        ),
        (
            "spec.activeDeadlineSeconds",
            None,
            "spec.activeDeadlineSeconds: Invalid value: null: "
            "must not update from a positive integer to nil value",
        ),
        ("metadata.name", "other", 'metadata.name: Invalid value: "other": field is immutable'),
    ],
)
def test_what_may_not_change_in_a_pod(path: str, value: Any, expected: str) -> None:
    assert changes(path, value) == [expected]


def test_containers_are_neither_added_nor_removed() -> None:
    container = apply_defaults(m.pod(name="b"))["spec"]["containers"][0]
    both = [*OLD["spec"]["containers"], container]
    assert changes("spec.containers", both) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


def test_a_negative_grace_period_may_be_mended() -> None:
    old = m.changed(OLD, "spec.terminationGracePeriodSeconds", -1)
    new = m.changed(OLD, "spec.terminationGracePeriodSeconds", 1)
    assert validate_update(new, old) == []
