"""Which Ingresses are ours, and which class one without any gets (semantics 4.4)."""

from __future__ import annotations

import pytest

from nodrop.model.ingressclass import CONTROLLER, default_class, is_ours
from nodrop.model.meta import Obj


def ingress_class(name: str, controller: str, *, default: bool = False, created: str = "") -> Obj:
    marks = {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}
    metadata = {"name": name, "annotations": marks, "creationTimestamp": created}
    return {"metadata": metadata, "spec": {"controller": controller}}


def ingress(name: str | None, *, annotated: bool = False) -> Obj:
    if name is None:
        return {"metadata": {"name": "web"}, "spec": {}}
    if annotated:
        marks = {"kubernetes.io/ingress.class": name}
        return {"metadata": {"name": "web", "annotations": marks}, "spec": {}}
    return {"metadata": {"name": "web"}, "spec": {"ingressClassName": name}}


OURS, THEIRS = ingress_class("ours", CONTROLLER), ingress_class("theirs", "x.example/y")
OUR_DEFAULT = ingress_class("d", CONTROLLER, default=True)
THEIR_DEFAULT = ingress_class("d", "x.example/y", default=True)


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        (None, [], True),
        (None, [OURS, THEIRS], True),
        (None, [THEIR_DEFAULT], False),
        (None, [OUR_DEFAULT], True),
        ("ours", [OURS, THEIRS], True),
        ("theirs", [OURS, THEIRS], False),  # another controller's
        ("nginx", [OURS], True),  # of no controller here: we are the only one
        ("nodrop", [], True),
        ("nodrop", [ingress_class("nodrop", "x.example/y")], False),  # the name alone is nothing
    ],
)
@pytest.mark.parametrize("annotated", [False, True])
def test_whose_an_ingress_is(
    name: str | None, classes: list[Obj], expected: bool, annotated: bool
) -> None:
    assert is_ours(ingress(name, annotated=annotated), classes) is expected


def test_the_field_wins_over_the_annotation() -> None:
    obj = ingress("theirs", annotated=True)
    obj["spec"]["ingressClassName"] = "ours"
    assert is_ours(obj, [OURS, THEIRS])


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([], ""),
        ([OURS], ""),
        ([OURS, OUR_DEFAULT], "d"),
        (
            [
                ingress_class("a", "x", default=True, created="2026-11-23T10:00:00Z"),
                ingress_class("c", "x", default=True, created="2026-11-23T10:00:01Z"),
                ingress_class("b", "x", default=True, created="2026-11-23T10:00:01Z"),
            ],
            "b",
        ),
    ],
    ids=["no class", "no default", "one default", "several: the newest, then by name"],
)
def test_the_default_class(classes: list[Obj], expected: str) -> None:
    assert default_class(classes) == expected
