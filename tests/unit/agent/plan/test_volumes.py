"""What a volume shall hold, and the sentences for what is missing."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nodrop.agent.plan.env import Lookup, PodFacts, Source
from nodrop.agent.plan.resources import resource_value
from nodrop.agent.plan.volumes import (
    Content,
    EmptyDir,
    File,
    Files,
    HostPath,
    VolumeFailure,
    VolumeSources,
    plan_volume,
)
from nodrop.events import Reason
from nodrop.model.meta import Obj

POD: Obj = {
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u",
        "labels": {"b": 'say "hi"', "a": "1"},
    },
    "spec": {
        "containers": [{"name": "app", "resources": {"limits": {"cpu": "1500m"}}}],
    },
}
HELD: dict[tuple[Source, str], Obj] = {
    ("ConfigMap", "c"): {
        "data": {"a.txt": "A", "b.txt": "B"},
        "binaryData": {"bin": base64.b64encode(b"\x00\xff").decode()},
    },
    ("Secret", "s"): {"data": {"key": base64.b64encode(b"hush").decode()}},
}


def lookup(kind: Source, name: str) -> Obj | None:
    return HELD.get((kind, name))


def planned(lookup: Lookup = lookup, **source: Any) -> Content:
    facts = PodFacts("127.9.0.2", "127.0.0.1", "node", cpus=4, memory_bytes=2**30)
    sources = VolumeSources(POD, facts, lookup, lambda audience, life_s: f"{audience}:{life_s}")
    return plan_volume({"name": "v", **source}, 2, sources)


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ({"emptyDir": {}}, EmptyDir()),
        ({"hostPath": {"path": "/x", "type": "File"}}, HostPath("/x", "File")),
        (
            {"configMap": {"name": "c"}},
            Files({"a.txt": File(b"A"), "b.txt": File(b"B"), "bin": File(b"\x00\xff")}),
        ),
        (
            {
                "configMap": {
                    "name": "c",
                    "defaultMode": 0o600,
                    "items": [
                        {"key": "a.txt", "path": "d/a", "mode": 0o400},
                        {"key": "b.txt", "path": "b"},
                    ],
                }
            },
            Files({"d/a": File(b"A", 0o400), "b": File(b"B", 0o600)}),
        ),
        (
            {"secret": {"secretName": "s", "defaultMode": 0o400}},
            Files({"key": File(b"hush", 0o400)}),
        ),
        ({"configMap": {"name": "none", "optional": True}}, Files({})),
        (
            {
                "secret": {
                    "secretName": "s",
                    "optional": True,
                    "items": [{"key": "none", "path": "x"}],
                }
            },
            Files({}),
        ),
        (
            {
                "downwardAPI": {
                    "items": [
                        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                        {"path": "ip", "fieldRef": {"fieldPath": "status.podIP"}},
                        {
                            "path": "cpu",
                            "resourceFieldRef": {"containerName": "app", "resource": "limits.cpu"},
                        },
                    ]
                }
            },
            Files(
                {
                    "labels": File(b'a="1"\nb="say \\"hi\\""'),
                    "ip": File(b"127.9.0.2"),
                    "cpu": File(b"2"),
                }
            ),
        ),
        (
            {
                "projected": {
                    "defaultMode": 0o640,
                    "sources": [
                        {"configMap": {"name": "c", "items": [{"key": "a.txt", "path": "a"}]}},
                        {"secret": {"name": "s"}},
                    ],
                }
            },
            Files({"a": File(b"A", 0o640), "key": File(b"hush", 0o640)}),
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {
                            "serviceAccountToken": {
                                "path": "vault/token",
                                "audience": "vault",
                                "expirationSeconds": 600,
                            }
                        },
                    ]
                }
            },
            Files({"token": File(b":3600", 0o600), "vault/token": File(b"vault:600", 0o600)}),
        ),
    ],
)
def test_what_volumes_hold(source: Obj, content: Content) -> None:
    assert planned(**source) == content


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        (
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
            "configmap references non-existent config key: k",
        ),
        (
            {"secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}},
            "references non-existent secret key: k",
        ),
        ({"projected": {"sources": [{"secret": {"name": "none"}}]}}, 'secret "none" not found'),
    ],
)
def test_missing_sources(source: Obj, message: str) -> None:
    with pytest.raises(VolumeFailure) as caught:
        planned(**source)
    assert str(caught.value) == f'MountVolume.SetUp failed for volume "v" : {message}'
    assert caught.value.reason == Reason.FAILED_MOUNT


def test_other_kinds_are_named() -> None:
    with pytest.raises(VolumeFailure, match=r"^spec.volumes\[2\].nfs: nodrop has no") as caught:
        planned(nfs={"server": "x"})
    assert caught.value.reason == Reason.UNSUPPORTED


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", None, "2"),
        ("limits.cpu", "0", "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.cpu", "1", "0"),
        ("limits.memory", "1Mi", "1024"),
        ("requests.memory", "1Ki", "65"),
    ],
)
def test_resources_are_divided_and_rounded_up(
    resource: str, divisor: str | None, value: str
) -> None:
    held = {"limits": {"cpu": "1500m"}, "requests": {"memory": "66000"}}
    reference = {"resource": resource, "divisor": divisor}
    assert resource_value(held, reference, cpus=4, memory_bytes=2**30) == value


def test_an_unknown_resource_is_refused() -> None:
    with pytest.raises(KeyError):
        resource_value({}, {"resource": "limits.gold"}, cpus=1, memory_bytes=1)
