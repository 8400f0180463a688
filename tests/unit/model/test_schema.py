"""Unknown fields, wrong types and doubled fields, with what was probably meant."""

from __future__ import annotations

import importlib.util
import json
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from nodrop.model.definitions import document_bytes, field_of, go_type, schema_of
from nodrop.model.kinds import DEPLOYMENT, KINDS, POD, SECRET, SERVICE, Kind
from nodrop.model.meta import Obj
from nodrop.model.schema import decode_strictness, duplicate_fields
from tests.unit.model import manifests as m

SPEC = "spec.template.spec"
HEAD = 'Deployment in version "v1" cannot be handled as a Deployment'
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("path", "warning"),
    [
        (
            f"{SPEC}.terminationGradePeriodSeconds",
            f'unknown field "{SPEC}.terminationGradePeriodSeconds" '
            '(did you mean "terminationGracePeriodSeconds"?)',
        ),
        (
            "spec.terminationGracePeriodSeconds",
            'unknown field "spec.terminationGracePeriodSeconds" '
            f'(it belongs at "{SPEC}.terminationGracePeriodSeconds")',
        ),
        (
            f"{SPEC}.containers.0.terminationGradePeriodSeconds",
            f'unknown field "{SPEC}.containers[0].terminationGradePeriodSeconds" '
            f'(it belongs at "{SPEC}.terminationGracePeriodSeconds")',
        ),
        (
            f"{SPEC}.minReadySeconds",
            f'unknown field "{SPEC}.minReadySeconds" (it belongs at "spec.minReadySeconds")',
        ),
        (
            f"{SPEC}.readinessProbe",
            f'unknown field "{SPEC}.readinessProbe" '
            f'(it belongs at "{SPEC}.containers[].readinessProbe")',
        ),
        (
            "spec.maxSurge",
            'unknown field "spec.maxSurge" (it belongs at "spec.strategy.rollingUpdate.maxSurge")',
        ),
        ("spec.Replicas", 'unknown field "spec.Replicas" (did you mean "replicas"?)'),
        ("spec.qqqq", 'unknown field "spec.qqqq"'),
        ("qqqq", 'unknown field "qqqq"'),
    ],
)
def test_s15_an_unknown_field_is_named_with_the_right_one_beside_it(
    path: str, warning: str
) -> None:
    """S15: a misspelt terminationGracePeriodSeconds must not silently mean 30 s."""
    findings = decode_strictness(m.changed(m.deployment(), path, 45), DEPLOYMENT)
    assert findings.warnings() == (warning,)
    strict = findings.strict_error()
    assert strict is not None
    assert strict.code == 400
    assert strict.message == f"{HEAD}: strict decoding error: {warning}"
    assert findings.type_error() is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "spec.replicas",
            "three",
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of "
            'type int32 (spec.replicas is "three", it must be a whole number)',
        ),
        (
            "spec.replicas",
            1.5,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas "
            "of type int32 (spec.replicas is 1.5, it must be a whole number)",
        ),
        (
            "spec.replicas",
            3000000000,
            "json: cannot unmarshal number 3000000000 into Go struct field "
            "DeploymentSpec.spec.replicas of type int32 (spec.replicas is 3000000000, it must be "
            "a whole number from -2147483648 to 2147483647)",
        ),
        (
            "spec.replicas",
            True,
            "json: cannot unmarshal bool into Go struct field DeploymentSpec.spec.replicas of "
            "type int32 (spec.replicas is true, it must be a whole number)",
        ),
        (
            "spec.strategy.rollingUpdate",
            {"maxSurge": 1.5},
            "json: cannot unmarshal number 1.5 into Go struct field "
            "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type "
            "intstr.IntOrString (spec.strategy.rollingUpdate.maxSurge is 1.5, it must be a whole "
            'number or a string such as "25%")',
        ),
        (
            f"{SPEC}.containers",
            {"name": "a"},
            "json: cannot unmarshal object into Go struct field "
            f"PodSpec.{SPEC}.containers of type []v1.Container "
            f'({SPEC}.containers is {{"name": "a"}}, it must be a list)',
        ),
        (
            f"{SPEC}.containers.0.env",
            [{"name": "A", "value": 5}],
            "json: cannot unmarshal number into Go struct field "
            f"EnvVar.{SPEC}.containers.env.value of type string "
            f"({SPEC}.containers[0].env[0].value is 5, it must be a string)",
        ),
        (
            "metadata.labels",
            {"app": 1},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of "
            "type string (metadata.labels.app is 1, it must be a string)",
        ),
        (
            SPEC,
            "x",
            "json: cannot unmarshal string into Go struct field "
            f"PodTemplateSpec.{SPEC} of type v1.PodSpec "
            f'({SPEC} is "x", it must be a mapping)',
        ),
        (
            "spec.selector",
            {"matchLabels": ["a"]},
            "json: cannot unmarshal array into Go struct field "
            "LabelSelector.spec.selector.matchLabels of type map[string]string "
            '(spec.selector.matchLabels is ["a"], it must be a mapping)',
        ),
        (
            f"{SPEC}.containers.0",
            [],
            "json: cannot unmarshal array into Go struct field "
            f"PodSpec.{SPEC}.containers of type v1.Container "
            f"({SPEC}.containers[0] is [], it must be a mapping)",
        ),
    ],
)
def test_a_wrong_type_is_named_with_path_value_and_mend(
    path: str, value: Any, message: str
) -> None:
    error = decode_strictness(m.changed(m.deployment(), path, value), DEPLOYMENT).type_error()
    assert error is not None
    assert (error.code, error.reason) == (400, "BadRequest")
    assert error.message == f"{HEAD}: {message}"


@pytest.mark.parametrize(
    ("obj", "kind", "path"),
    [
        (m.secret(data={"a": "?"}), SECRET, "data.a"),
        (m.secret(metadata={"creationTimestamp": "today"}), SECRET, "metadata.creationTimestamp"),
        (m.pod(ports=[None]), POD, "spec.containers[0].ports[0]"),
        (m.pod(resources={"limits": {"cpu": []}}), POD, "spec.containers[0].resources.limits.cpu"),
    ],
)
def test_values_that_cannot_be_read(obj: Obj, kind: Kind, path: str) -> None:
    findings = decode_strictness(obj, kind)
    assert [wrong.path for wrong in findings.wrong_types] == [path]
    assert findings.type_error() is not None


@pytest.mark.parametrize(
    ("obj", "kind"),
    [
        (m.deployment(), DEPLOYMENT),
        (m.deployment(replicas=None, paused=False), DEPLOYMENT),
        (m.rolling(maxSurge="25%", maxUnavailable=0), DEPLOYMENT),
        (m.pod(resources={"limits": {"cpu": 1, "memory": "1Gi"}}), POD),
        (m.pod(resources={"limits": {"cpu": 0.5}}), POD),
        (m.service(ports=[{"port": 80, "targetPort": "http"}]), SERVICE),
        (m.secret(data={"a": "MQ=="}, stringData={"b": "c"}), SECRET),
        (m.secret(metadata={"creationTimestamp": "2026-01-31T12:00:00Z"}), SECRET),
        (
            m.secret(metadata={"managedFields": [{"fieldsV1": {"f:data": {"f:a": {}}}}]}),
            SECRET,
        ),
    ],
)
def test_what_is_fine(obj: Obj, kind: Kind) -> None:
    findings = decode_strictness(obj, kind)
    assert findings.fine
    assert findings.strict_error() is None
    assert findings.type_error() is None


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        (b'{"a":1,"b":{"a":1}}', []),
        (b'{"a":1,"a":2}', ["a"]),
        (b'{"a":1,"a":2,"a":3}', ["a"]),
        (b'{"a":[{"b":1},{"b":1,"b":{"c":1,"c":2}}]}', ["a[1].b", "a[1].b.c"]),
        (b"[]", []),
    ],
)
def test_doubled_fields(raw: bytes, paths: list[str]) -> None:
    assert duplicate_fields(raw) == paths


def test_broken_json_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        duplicate_fields(b"{")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_served_kind_and_its_list_have_a_schema(kind: Kind) -> None:
    assert schema_of(kind).properties.keys() >= {"apiVersion", "kind", "metadata"}
    listed = Kind(kind.group, kind.version, f"{kind.kind}List", kind.plural)
    assert "items" in schema_of(listed).properties


def test_merge_keys_and_strategies_survive_the_trimming() -> None:
    deployment = schema_of(DEPLOYMENT)
    spec = field_of(deployment, "spec")
    assert spec is not None
    strategy = field_of(spec, "strategy")
    assert strategy is not None
    assert strategy.retains_keys
    template = field_of(spec, "template")
    assert template is not None
    pod_spec = field_of(template, "spec")
    assert pod_spec is not None
    containers = field_of(pod_spec, "containers")
    assert containers is not None
    assert (containers.merges, containers.merge_key) == (True, "name")
    assert containers.list_map_keys == ("name",)
    assert go_type(containers) == "[]v1.Container"
    tolerations = field_of(pod_spec, "tolerations")
    assert tolerations is not None
    assert not tolerations.merges


def test_openapi_json_is_what_the_tool_makes() -> None:
    """Whoever adds a kind runs tools/openapi; the file is small on purpose."""
    loader = SourceFileLoader("openapi_tool", str(ROOT / "tools/openapi"))
    spec = importlib.util.spec_from_loader("openapi_tool", loader)
    assert spec is not None
    tool = importlib.util.module_from_spec(spec)
    loader.exec_module(tool)
    _, everything = tool.definitions()
    assert json.loads(document_bytes())["schemas"] == tool.closure(everything)
    assert len(document_bytes()) < 400_000


def test_fields_beside_each_other_belong_together() -> None:
    """``port`` alone might be grpc's; with ``path`` beside it, it is httpGet's."""
    probe = {"path": "/healthz", "port": 80}
    container = {"name": "web", "readinessProbe": probe}
    spec = {"template": {"spec": {"containers": [container]}}}
    found = decode_strictness({"spec": spec}, DEPLOYMENT).unknown
    where = "spec.template.spec.containers[].readinessProbe.httpGet"
    assert [field.hint for field in found] == [
        f'it belongs at "{where}.path"',
        f'it belongs at "{where}.port"',
    ]
