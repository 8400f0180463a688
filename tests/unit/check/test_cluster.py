"""Objects that are legal and lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.check.cluster import Cluster, Name, cluster_warnings
from nodrop.check.routes import claim_of, shadowed


def named(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def deployment(app: str = "web") -> dict[str, Any]:
    container = {"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}}
    return named(app, template=template)


def service(app: str = "web", target: Any = "http") -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": target}]
    return named("web", selector={"app": app}, ports=ports)


def ingress(
    name: str = "web",
    *,
    to: str = "web",
    port: Any = 80,
    created: str = "2026-01-01T00:00:00Z",
    host: str = "",
    path: str = "/",
) -> dict[str, Any]:
    number = {"number": port} if isinstance(port, int) else {"name": port}
    paths = [{"path": path, "backend": {"service": {"name": to, "port": number}}}]
    obj = named(name, rules=[{"host": host, "http": {"paths": paths}}])
    obj["metadata"]["creationTimestamp"] = created
    return obj


ALL = [Name("Service", "default", "web"), Name("Ingress", "default", "web")]


@pytest.mark.parametrize(
    ("the_service", "the_ingress", "expected"),
    [
        (service(), ingress(), []),
        (service(), ingress(port="http"), []),
        (service(target=8080), ingress(), []),
        (
            service(app="wbe"),
            ingress(),
            [
                "Service web: no pod has the labels app=wbe: requests to Service web are refused "
                "(Deployment web lacks app=wbe)"
            ],
        ),
        (
            service(target="htpp"),
            ingress(),
            [
                "Service web: targetPort htpp is declared by no container of Deployment web "
                "(its ports: http, 8080)"
            ],
        ),
        (
            service(),
            ingress(to="nope"),
            [
                'Ingress web: there is no Service "nope" in namespace default, so its requests '
                "are answered with an error (Services: web)"
            ],
        ),
        (
            service(),
            ingress(port=81),
            ['Ingress web: Service "web" has no port 81 (its ports: http = 80)'],
        ),
    ],
)
def test_what_leads_nowhere_is_told(
    the_service: dict[str, Any], the_ingress: dict[str, Any], expected: list[str]
) -> None:
    cluster = Cluster(deployments=[deployment()], services=[the_service], ingresses=[the_ingress])
    assert cluster_warnings(ALL, cluster) == expected
    assert cluster_warnings([], cluster) == []  # only what was applied


def test_an_ingress_that_an_older_one_shadows_is_told() -> None:
    older = ingress("datasette", created="2025-01-01T00:00:00Z")
    cluster = Cluster(
        deployments=[deployment()], services=[service()], ingresses=[ingress(), older]
    )
    assert cluster_warnings(ALL, cluster) == [
        "Ingress web: host * path / already belongs to Ingress datasette (older)"
    ]


@pytest.mark.parametrize(
    ("newer", "shadows"),
    [
        (ingress("b", created="2026-02-01T00:00:00Z"), True),
        (ingress("b", created="2026-02-01T00:00:00Z", host="b.localhost"), False),
        (ingress("b", created="2026-02-01T00:00:00Z", path="/api"), False),
        (ingress("b"), True),  # as old: the name decides
    ],
)
def test_only_the_same_host_and_path_are_shadowed(newer: dict[str, Any], shadows: bool) -> None:
    found = shadowed([newer, ingress("a")])
    assert [one.ingress["metadata"]["name"] for one in found] == (["b"] if shadows else [])


def test_a_prefix_is_the_same_with_and_without_its_last_slash() -> None:
    assert claim_of("A", {"path": "/a/"}) == claim_of("a", {"path": "/a"})
    exact = [claim_of("", {"path": path, "pathType": "Exact"}) for path in ("/a", "/a/")]
    assert exact[0] != exact[1]


def test_annotations_without_effect_are_told_of_what_was_applied() -> None:
    obj = ingress()
    obj["metadata"]["annotations"] = {"nginx.ingress.kubernetes.io/auth-url": "http://x"}
    cluster = Cluster(deployments=[deployment()], services=[service()], ingresses=[obj])
    (warning,) = cluster_warnings([Name("Ingress", "default", "web")], cluster)
    assert warning.startswith(
        'Ingress web: metadata.annotations[nginx.ingress.kubernetes.io/auth-url]: "http://x": '
    )
    assert cluster_warnings([Name("Service", "default", "web")], cluster) == []


def test_a_canary_shadows_nobody_and_a_default_beside_rules_only_the_second() -> None:
    canary = ingress("canary", created="2026-02-01T00:00:00Z")
    canary["metadata"]["annotations"] = {"nodrop.dev/canary": "true"}
    assert shadowed([ingress("a"), canary]) == []
    one, two = ingress("a", path="/a"), ingress("b", path="/b")
    for obj in (one, two):
        obj["spec"]["defaultBackend"] = {"service": {"name": "web", "port": {"number": 80}}}
    assert shadowed([one, two]) == []
