"""An Ingress that asks for what it does not get is written with a warning."""

from __future__ import annotations

from nodrop.model.kinds import INGRESS
from nodrop.model.meta import Obj, ObjectKey
from tests.unit.model import manifests
from tests.unit.registry.world import World


def annotated(**annotations: str) -> Obj:
    obj = manifests.ingress()
    named = {f"nodrop.dev/{name.replace('_', '-')}": v for name, v in annotations.items()}
    obj["metadata"]["annotations"] = named
    return obj


def test_unknown_and_bad_annotations_are_warned_of_when_they_are_new(world: World) -> None:
    created = world.registry.create(INGRESS, "default", annotated(typo="1", use_regex="maybe"))
    assert [text.partition(":")[0] for text in created.warnings] == [
        "metadata.annotations[nodrop.dev/use-regex]",
        "metadata.annotations[nodrop.dev/typo]",
    ]
    key = ObjectKey(INGRESS, "default", "web")
    again = world.registry.update(key, annotated(typo="1", proxy_body_size="big"))
    assert [text.partition(":")[0] for text in again.warnings] == [
        "metadata.annotations[nodrop.dev/proxy-body-size]"
    ]


def test_a_path_that_cannot_be_served_is_warned_of(world: World) -> None:
    obj = annotated(use_regex="true")
    obj["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/(a+)+"
    (warning,) = world.registry.create(INGRESS, "default", obj).warnings
    assert warning.startswith('spec.rules[0].http.paths[0].path: Invalid value: "/(a+)+": ')
