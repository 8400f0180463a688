"""What is told before anything is sent, and what an apply leaves as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nodrop.check.cluster import Name
from nodrop.check.source import Document, read_text
from nodrop.cli.apply import (
    BASE_DIR,
    Applied,
    Refused,
    apply_all,
    places_of,
    prepare,
    warnings_of,
    without_folder,
)
from nodrop.cli.background import refused_options
from nodrop.cli.hints import hint_for
from nodrop.cli.unchanged import restart_hints
from nodrop.model.errors import ApiError, already_exists, not_found
from nodrop.model.kinds import CONFIGMAP
from nodrop.model.meta import Obj, ObjectKey

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def refused(text: str) -> list[str]:
    with pytest.raises(Refused) as error:
        prepare(read_text(text, file="m.yaml", folder=Path("/f")), "default")
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{CONFIG}---\n{CONFIG}",
            "m.yaml:5: ConfigMap a: the same object stands at m.yaml:1 already",
        ),
        (
            f"{CONFIG}---\n{CONFIG.replace('{name: a}', '{name: a, namespace: default}')}",
            "m.yaml:5: ConfigMap a: the same object stands at m.yaml:1 already",
        ),
        (
            "apiVersion: apps/v1\nkind: deployment\nmetadata: {name: a}\n",
            'm.yaml:1: kind: Unsupported value: "deployment": did you mean "Deployment"?',
        ),
        (
            "apiVersion: v1\nkind: Services\nmetadata: {name: a}\n",
            'm.yaml:1: kind: Unsupported value: "Services": did you mean "Service"?',
        ),
        (
            CONFIG.replace("name:", "generateName:"),
            "m.yaml:1: metadata.name: Required value: generateName is for kubectl create only",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [a]}\n",
            "m.yaml:1: json: cannot unmarshal array into Go struct field ObjectMeta.metadata.name "
            'of type string (metadata.name is ["a"], it must be a string)',
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: 3\n",
            "m.yaml:1: Deployment a: json: cannot unmarshal number into Go struct field "
            "Deployment.spec of type v1.DeploymentSpec (spec is 3, it must be a mapping)",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [b]}\n",
            "m.yaml:1: Pod a: json: cannot unmarshal string into Go struct field "
            "PodSpec.spec.containers of type v1.Container "
            '(spec.containers[0] is "b", it must be a mapping)',
        ),
    ],
)
def test_a_document_that_cannot_be_meant_is_told_with_its_place(text: str, expected: str) -> None:
    assert refused(text) == [expected]


def test_the_same_name_in_two_namespaces_is_two_objects() -> None:
    text = f"{CONFIG}---\n{CONFIG.replace('{name: a}', '{name: a, namespace: b}')}"
    documents = list(read_text(text, file="m.yaml", folder=Path("/f")))
    assert len(prepare(documents, "default")) == 2
    places = places_of(documents, "default")
    assert {key.namespace: place for key, place in places.items()} == {
        "default": "m.yaml:1",
        "b": "m.yaml:5",
    }


def test_an_immutable_selector_is_told_before_labels_that_do_not_match_it() -> None:
    message = "spec.selector: field is immutable, `selector` does not match template `labels`"
    assert hint_for(ApiError(422, "Invalid", message)).startswith("delete the object first")


def deployment(container: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", **container}]}}},
    }


@pytest.mark.parametrize(
    ("container", "changed", "expected"),
    [
        ({}, (), "pods of web still run"),
        (
            {"envFrom": [{"configMapRef": {"name": "c"}}]},
            ("ConfigMap",),
            "ConfigMap c changed, but",
        ),
        (
            {"env": [{"valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}]},
            ("ConfigMap", "Secret"),
            "Secret c changed, but pods of web",
        ),
        ({"envFrom": [{"configMapRef": {"name": "other"}}]}, ("ConfigMap",), "pods of web still"),
    ],
)
def test_pods_that_keep_what_they_started_with_are_told(
    container: dict[str, Any], changed: tuple[str, ...], expected: str
) -> None:
    web = Name("Deployment", "default", "web")
    new = [Name(kind, "default", "c") for kind in changed]
    (hint,) = restart_hints([deployment(container)], [web], new)
    assert hint.startswith(expected)
    assert hint.endswith("nodrop rollout restart web")
    assert restart_hints([deployment(container)], [], [web, *new]) == []


def test_a_probe_at_a_port_that_nobody_declares_is_a_warning() -> None:
    probe = {"readinessProbe": {"httpGet": {"port": "htpp"}}, "ports": [{"name": "http"}]}
    obj = {"apiVersion": "apps/v1", **deployment(probe)}
    (warning,) = warnings_of([Document(obj, "m.yaml", 1, Path())])
    assert warning.startswith('m.yaml:1: Deployment web: port "htpp" is no port of container app')
    assert warning.endswith("(named ports: http), so it always fails (ND209)")


ENGINE = {
    "http": {"urls": ["http://127.0.0.1:8080", "http://[::1]:8080"]},
    "api": {"port": 6443},
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"http_port": 0, "api_port": 0}, []),
        ({"http_port": 8080, "api_port": 6443, "bind": ("::1", "127.0.0.1")}, []),
        ({"http_port": 18099}, ["--http-port 18099: it listens on 8080"]),
        ({"https_port": 18099}, ["--https-port 18099: it listens on none"]),
        ({"api_port": 1}, ["--api-port 1: its API is at 6443"]),
        ({"bind": ("10.0.0.1",)}, ["--bind 10.0.0.1: it listens on 127.0.0.1, ::1"]),
    ],
)
def test_options_that_a_running_engine_cannot_take_are_told(
    options: dict[str, Any], expected: list[str]
) -> None:
    asked = {"http_port": None, "api_port": None, "bind": (), **options}
    assert refused_options(ENGINE, **asked) == expected


@pytest.mark.parametrize("annotations", [None, {"team": "a"}])
def test_the_folder_is_no_part_of_what_was_applied(annotations: dict[str, str] | None) -> None:
    """``kubectl apply`` of the same manifest would take it away."""
    web = deployment({"command": ["./web"]})
    web["spec"]["template"]["metadata"] = {"labels": {"app": "web"}}
    if annotations:
        web["spec"]["template"]["metadata"]["annotations"] = annotations
    (document,) = read_text(json.dumps(web), file="m.yaml", folder=Path("/f"))
    (prepared,) = prepare([document], "default")
    assert prepared["spec"]["template"]["metadata"]["annotations"][BASE_DIR] == "/f"
    assert without_folder(prepared) == web
    bare = Document(deployment({"command": ["./web"]}), "m.yaml", 1, Path("/f"))
    assert without_folder(prepare([bare], "default")[0]) == bare.obj


class Race:
    """An API in which somebody else creates the object between the look and the create."""

    def __init__(self, theirs: Obj) -> None:
        self.theirs = theirs
        self.looked = False
        self.patches: list[Obj] = []

    async def get(self, key: ObjectKey) -> Obj:
        if not self.looked:
            self.looked = True
            raise not_found(key.kind, key.name)
        return self.theirs

    async def create(self, obj: Obj, *, query: Mapping[str, str] | None = None) -> Obj:
        raise already_exists(CONFIGMAP, obj["metadata"]["name"])

    async def patch_strategic(
        self, key: ObjectKey, patch: Obj, *, query: Mapping[str, str] | None = None
    ) -> Obj:
        self.patches.append(patch)
        return {**self.theirs, "metadata": {**self.theirs["metadata"], "resourceVersion": "2"}}


async def test_what_another_apply_has_created_in_between_is_patched() -> None:
    metadata = {"name": "a", "namespace": "default"}
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    race = Race({**kind, "metadata": {**metadata, "resourceVersion": "1"}, "data": {"a": "1"}})
    ours = {**kind, "metadata": metadata, "data": {"a": "2"}}
    done: list[Applied] = []
    await apply_all(race, [ours], done=done.append)
    assert [one.outcome for one in done] == ["configured"]
    assert race.patches[-1]["data"] == {"a": "2"}


class Live(Race):
    """A Deployment that stands already, and how it stands after the patch."""

    def __init__(self, before: Obj, after: Obj) -> None:
        super().__init__(before)
        self.looked, self.after = True, after

    async def patch_strategic(
        self, key: ObjectKey, patch: Obj, *, query: Mapping[str, str] | None = None
    ) -> Obj:
        return self.after


@pytest.mark.parametrize(("change", "rolls"), [({"env": [{"name": "A"}]}, True), ({}, False)])
async def test_only_a_new_template_replaces_pods(change: Obj, rolls: bool) -> None:
    """Found by use: a scaled Deployment whose ConfigMap changed got no word about its old pods."""
    before, after = deployment({}), deployment(change)
    for number, (obj, replicas) in enumerate(((before, 2), (after, 3))):
        obj["metadata"] |= {"resourceVersion": str(number)}
        obj["spec"]["replicas"] = replicas
    ours = deployment(change)
    ours["spec"]["replicas"] = 3
    done: list[Applied] = []
    await apply_all(Live(before, after), [ours], done=done.append)
    assert [(one.outcome, one.rolls) for one in done] == [("configured", rolls)]


def test_a_folder_of_versions_is_told_to_be_given_one_at_a_time() -> None:
    with pytest.raises(Refused) as error:
        prepare(read_text(f"{CONFIG}---\n{CONFIG}", file="m.yaml", folder=Path("/f")), "default")
    assert error.value.hint.startswith("give one version at a time")
