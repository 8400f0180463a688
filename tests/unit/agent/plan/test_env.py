"""Environment and command of a container."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from nodrop.agent.plan.command import container_argv, expand, missing_command, working_folder
from nodrop.agent.plan.env import (
    ConfigurationError,
    Environment,
    PodFacts,
    Source,
    container_environment,
    hostname_of,
    service_links,
)
from nodrop.agent.plan.spec import Container
from nodrop.model.meta import Obj

POD: Obj = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u1",
        "labels": {"app": "web"},
        "annotations": {"a/b": "c"},
    },
    "spec": {"containers": [{"name": "app", "resources": {"requests": {"memory": "64Mi"}}}]},
}
FACTS = PodFacts(pod_ip="127.9.0.2", host_ip="127.0.0.1", node="here", cpus=4)
STORED: Mapping[tuple[str, str], Obj] = {
    ("ConfigMap", "settings"): {"data": {"COLOUR": "blue", "2bad": "x", "SIZE": "9"}},
    ("Secret", "keys"): {"data": {"TOKEN": base64.b64encode(b"s3cret").decode()}},
}


def lookup(source: Source, name: str) -> Obj | None:
    return STORED.get((source, name))


def build(container: Container, services: tuple[Obj, ...] = ()) -> Environment:
    return container_environment(container, POD, facts=FACTS, lookup=lookup, services=services)


def env(**values: object) -> Container:
    entries = tuple(
        {"name": name, "value": value}
        if isinstance(value, str)
        else {"name": name, "valueFrom": value}
        for name, value in values.items()
    )
    return Container(name="app", env=entries)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(NOPE)", "$(NOPE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("100$", "100$"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_env_refers_to_what_came_before() -> None:
    built = build(env(A="1", B="$(A)2", C="$(D)", D="4"))
    assert built.own == {"A": "1", "B": "12", "C": "$(D)", "D": "4"}


def test_env_from_comes_first_and_wrong_names_are_told() -> None:
    source = ({"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}})
    container = Container(name="app", env_from=source, env=({"name": "SIZE", "value": "$(SIZE)0"},))
    built = build(container)
    assert built.own == {"COLOUR": "blue", "SIZE": "90", "TOKEN": "s3cret"}
    assert built.skipped == (
        "Keys [2bad] from the EnvFrom configMap shop/settings were skipped since they are "
        "considered invalid environment variable names.",
    )


def test_a_prefix_can_make_a_name_valid() -> None:
    entry = {"configMapRef": {"name": "settings"}, "prefix": "P_"}
    assert set(build(Container(name="app", env_from=(entry,))).own) == {
        "P_COLOUR",
        "P_2bad",
        "P_SIZE",
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['a/b']", "c"),
        ("metadata.labels['nope']", ""),
        ("spec.nodeName", "here"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "127.9.0.2"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_downward_api(path: str, value: str) -> None:
    assert build(env(X={"fieldRef": {"fieldPath": path}})).own == {"X": value}


@pytest.mark.parametrize(
    ("origin", "value"),
    [
        ({"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}, "blue"),
        ({"secretKeyRef": {"name": "keys", "key": "TOKEN"}}, "s3cret"),
        ({"configMapKeyRef": {"name": "nope", "key": "x", "optional": True}}, None),
        ({"secretKeyRef": {"name": "keys", "key": "x", "optional": True}}, None),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "4"),
        ({"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}, "64"),
    ],
)
def test_references(origin: Obj, value: str | None) -> None:
    assert build(env(X=origin)).own.get("X") == value


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ({"configMapKeyRef": {"name": "nope", "key": "x"}}, 'configmap "nope" not found'),
        ({"secretKeyRef": {"name": "nope", "key": "x"}}, 'secret "nope" not found'),
        (
            {"configMapKeyRef": {"name": "settings", "key": "x"}},
            "couldn't find key x in ConfigMap shop/settings",
        ),
        (
            {"resourceFieldRef": {"resource": "limits.gold"}},
            "resourceFieldRef: unsupported container resource: limits.gold",
        ),
        (
            {"resourceFieldRef": {"resource": "limits.cpu", "containerName": "x"}},
            "resourceFieldRef: container x not found",
        ),
        ({"fieldRef": {"fieldPath": "spec.x"}}, 'fieldRef: field label not supported: "spec.x"'),
    ],
)
def test_what_is_missing_is_named(origin: Obj, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build(env(X=origin))
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("spec", "name", "hostname"),
    [
        ({}, "web-7d9f-x2x4z", "web-7d9f-x2x4z"),
        ({"hostname": "db"}, "web-1", "db"),
        ({"hostNetwork": True, "hostname": "db"}, "web-1", "here"),
        ({}, "a" * 62 + "-b", "a" * 62),
        ({}, "a" * 61 + ".-b", "a" * 61),
        ({}, "web.1", "web.1"),
    ],
)
def test_hostname(spec: Obj, name: str, hostname: str) -> None:
    """As kubelet makes it: cut to 63 characters, of which the last is a letter or digit."""
    assert hostname_of({"metadata": {"name": name}, "spec": spec}, "here") == hostname


def test_service_links() -> None:
    service = {
        "metadata": {"name": "my-db"},
        "spec": {"clusterIP": "127.1.0.9", "ports": [{"port": 5432, "name": "sql"}]},
    }
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    assert service_links([service, headless]) == {
        "MY_DB_SERVICE_HOST": "127.1.0.9",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL": "5432",
        "MY_DB_PORT": "tcp://127.1.0.9:5432",
        "MY_DB_PORT_5432_TCP": "tcp://127.1.0.9:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "127.1.0.9",
    }
    assert build(env(MY_DB_PORT="mine"), (service,)).own["MY_DB_PORT"] == "mine"


@pytest.mark.parametrize(
    ("working_dir", "folder"), [("", "/m"), ("app", "/m/app"), ("../x", "/x"), ("/abs", "/abs")]
)
def test_a_relative_folder_is_meant_from_the_manifest(working_dir: str, folder: str) -> None:
    assert working_folder(Container(name="a", working_dir=working_dir), "/m") == folder


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        (("./serve", "$(P)"), ("/m/serve", "80", "last")),
        (("bin/serve",), ("/m/bin/serve", "last")),
        (("python3", "./x.py"), ("python3", "./x.py", "last")),
        (("/bin/sh",), ("/bin/sh", "last")),
    ],
)
def test_argv(command: tuple[str, ...], argv: tuple[str, ...]) -> None:
    container = Container(name="a", command=command, args=("last",))
    assert container_argv(container, {"P": "80"}, cwd="/m") == argv


def test_args_alone_are_a_command_as_in_an_image_without_entrypoint() -> None:
    container = Container(name="a", args=("sh", "-c", "true"))
    assert container_argv(container, {}, cwd="/") == ("sh", "-c", "true")


def test_no_command_is_no_program() -> None:
    container = Container(name="a", index=1, args=("--port=80",))  # for the image's entrypoint
    assert container_argv(container, {}, cwd="/") is None
    assert container_argv(Container(name="a"), {}, cwd="/") is None
    assert missing_command(container).startswith("spec.containers[1].command: Required value:")
