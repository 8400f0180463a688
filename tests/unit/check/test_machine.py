"""What nodrop's one machine can't offer, beyond the rules' pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodrop.agent.plan.volumes import VolumeFailure, VolumeSources, plan_volume
from nodrop.check.finding import BOTH, NODROP, Finding, Target
from nodrop.check.judge import judge
from nodrop.check.rules.machine import VOLUMES
from nodrop.check.settings import Settings
from nodrop.check.source import Document
from nodrop.events import Reason
from nodrop.model.meta import Obj
from nodrop.model.schema import decode_strictness


def found(spec: Obj, *, kind: str = "Pod", targets: frozenset[Target] = NODROP) -> list[Finding]:
    pod: Obj = {"containers": [{"name": "a", "command": ["a"]}], **spec}
    obj: Obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": pod}
    if kind == "StatefulSet":
        obj |= {"apiVersion": "apps/v1", "spec": {"template": {"spec": pod}}}
    settings = Settings(targets=targets, select=("ND8",))
    return judge([Document(obj, "app.yaml", 1, Path())], settings)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("persistentVolumeClaim", {"claimName": "files"}),
        ("csi", {"driver": "x"}),
        ("nfs", {"server": "a", "path": "/"}),
        ("ephemeral", {}),
    ],
)
def test_volumes_that_cannot_be_are_the_ones_that_the_agent_refuses(
    source: str, value: Obj
) -> None:
    volume = {"name": "files", source: value}
    (one,) = found({"volumes": [volume]})
    assert (one.card.id, one.level) == ("ND801", "error")
    assert one.path == ("spec", "volumes", 0, source)
    assert one.message == (
        f"nodrop has no {source} volumes, so no pod that has volume files can start"
    )
    sources: Any = None  # not asked for what is refused at once
    with pytest.raises(VolumeFailure) as failure:
        plan_volume(volume, 0, sources)
    assert failure.value.reason == Reason.UNSUPPORTED


@pytest.mark.parametrize(("path", "refused"), [("conf", True), ("./conf", True), ("/conf", False)])
def test_a_relative_mount_path_is_told_before_the_container_fails(path: str, refused: bool) -> None:
    mount = {"name": "files", "mountPath": path}
    container = {"name": "a", "command": ["a"], "volumeMounts": [mount]}
    told = found({"containers": [container], "volumes": [{"name": "files", "emptyDir": {}}]})
    where = ("spec", "containers", 0, "volumeMounts", 0, "mountPath")
    assert [(one.card.id, one.path) for one in told] == [("ND801", where)] * refused


@pytest.mark.parametrize("source", VOLUMES)
def test_volumes_that_are_offered_are_not_refused(source: str) -> None:
    value = {"path": "/srv"} if source == "hostPath" else {}
    assert not found({"volumes": [{"name": "files", source: value}]})
    nothing: Any = None
    plan_volume({"name": "files", source: value}, 0, VolumeSources({}, nothing, _any, nothing))


def test_a_trust_bundle_in_a_projected_volume_is_told() -> None:
    sources = [{"configMap": {"name": "a"}}, {"clusterTrustBundle": {"path": "ca.crt"}}]
    (one,) = found({"volumes": [{"name": "files", "projected": {"sources": sources}}]})
    assert one.path[-2:] == (1, "clusterTrustBundle")


def test_fields_without_effect_are_told_in_one_finding_by_reason() -> None:
    limited = {"name": "a", "resources": {"limits": {"cpu": 1}}, "securityContext": {"a": 1}}
    (one,) = found(
        {
            "affinity": {"podAntiAffinity": {}},
            "nodeSelector": {"a": "b"},
            "hostNetwork": True,
            "hostPID": False,
            "schedulerName": "default-scheduler",
            "containers": [limited, {**limited, "name": "b"}],
        }
    )
    assert (one.card.id, one.level, one.path) == ("ND802", "info", ("spec", "nodeSelector"))
    assert one.message == (
        "accepted, and without effect on nodrop: nodeSelector, affinity (there is one node, and it "
        "takes every pod); hostNetwork, containers.securityContext, containers.resources.limits "
        "(pods are processes of the engine's user and share the machine's files and network)"
    )


def test_nothing_is_said_of_what_a_cluster_takes_or_nodrop_does_not_run() -> None:
    spec = {"hostNetwork": True, "volumes": [{"name": "a", "nfs": {}}]}
    assert len(found(spec)) == 2
    assert not found(spec, targets=BOTH)
    assert not found(spec, kind="StatefulSet")


def test_every_field_of_the_table_is_one_of_the_api() -> None:
    from nodrop.check.rules.machine import _POD_FIELDS
    from nodrop.model.kinds import POD

    spec = dict.fromkeys(_POD_FIELDS)
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}
    assert not decode_strictness(obj, POD).unknown


# Private


def _any(*_which: object) -> Obj:
    return {}
